-- Note that the provider, asked with our key, did not know a candidate: a newcomer may take its place.
--
-- given  request_id
-- Returns 1 if it is a candidate, else 0

local value = job and redis.call("HGET", CANDIDATES, given.request_id)
if not value then return 0 end
redis.call("HSET", CANDIDATES, given.request_id, string.match(value, "^%d+") .. " denied")
return 1
