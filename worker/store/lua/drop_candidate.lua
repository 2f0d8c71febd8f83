-- Forget a request id that turned out not to be the job's, with what was said of it.
--
-- given  request_id
-- Returns 1 if it was a candidate, else 0

if not job then return 0 end

forget_events(int("attempt"), given.request_id, true)
return redis.call("HDEL", CANDIDATES, given.request_id)
