-- Move due jobs on by their nudge interval, which doubles until the job is serviced. No lease is taken.
--
-- KEYS  1 due sorted set   2 counters hash   3.. records of the jobs, in the order of the ids
-- ARGV  1 now, Unix ms ("": the server's clock)   2 first interval, ms   3 longest interval, ms
--       4 the newest version of records that may be touched   5.. job ids
-- Returns {{job id, state, provider}, ...} of those that were due; an entry without an open record is removed and counted

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local nudged = {}
for i = 3, #KEYS do
  local job_id = ARGV[i + 2]
  local due_at = tonumber(redis.call("ZSCORE", KEYS[1], job_id) or math.huge)
  local state, provider, nudges, closed_at, version =
    unpack(redis.call("HMGET", KEYS[i], "state", "provider", "nudges", "closed_at", "v"))
  if tonumber(version or 1) > tonumber(ARGV[4]) then
    -- whoever wrote it sweeps, too
  elseif due_at <= now and state and not closed_at then
    local interval = math.min(tonumber(ARGV[3]), ARGV[2] * 2 ^ math.min(30, nudges or 0))
    redis.call("ZADD", KEYS[1], string.format("%.0f", now + interval), job_id)
    redis.call("HINCRBY", KEYS[i], "nudges", 1)
    nudged[#nudged + 1] = {job_id, state, provider}
  elseif due_at <= now then
    redis.call("ZREM", KEYS[1], job_id)
    redis.call("HINCRBY", KEYS[2], "due_without_open_job", 1)
  end
end
return nudged
