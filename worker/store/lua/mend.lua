-- Make "open <=> due" and "there is a record <=> the lists have it in its state" true for one job again.
--
-- given  ranks {state: rank}
-- Returns "added" (it was open and never due), "removed" (it was due and not open) "listed" (the lists
--         had it elsewhere, or not at all), "unlisted" (they had it without a record) or "" (nothing was wrong)

local function relist()
  local listed = redis.call("ZSCORE", LISTED, job_id)
  if not job then
    if not listed then return "" end
    redis.call("ZREM", LISTED, job_id)
    return "unlisted"
  end
  if tonumber(listed or -1) == given.ranks[job.state] * RANK_STEP + int("accepted_at") then return "" end
  list_at(given.ranks[job.state])
  if job.closed_at then redis.call("ZADD", CLOSED, text(now + math.max(0, redis.call("PTTL", JOB))), job_id) end
  return "listed"
end

local relisted = relist()
local due = redis.call("ZSCORE", DUE, job_id)
if not job or job.closed_at then
  if not due then return relisted end
  redis.call("ZREM", DUE, job_id)
  return "removed"
end
if due then return relisted end
redis.call("ZADD", DUE, text(now), job_id)
return "added"
