-- Make "open <=> due" true for one job again.
--
-- Returns "added" (it was open and never due), "removed" (it was due and not open) or "" (nothing was wrong)

local due = redis.call("ZSCORE", DUE, job_id)
if not job or job.closed_at then
  if not due then return "" end
  redis.call("ZREM", DUE, job_id)
  return "removed"
end
if due then return "" end
redis.call("ZADD", DUE, text(now), job_id)
return "added"
