-- Which jobs are due, the longest due first; then those that are due farther ahead than any step could have said: the
-- clock was ahead when that was written.
--
-- KEYS  1 due sorted set
-- ARGV  1 now, Unix ms ("": the server's clock)   2 how many at most   3 the farthest that a step says, ms
-- Returns {job id, ...}

local now, most = tonumber(ARGV[1]), tonumber(ARGV[2])
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local found = redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", string.format("%.0f", now), "LIMIT", 0, most)
if #found < most then
  local beyond = string.format("(%.0f", now + ARGV[3])
  for _, job_id in ipairs(redis.call("ZRANGEBYSCORE", KEYS[1], beyond, "+inf", "LIMIT", 0, most - #found)) do
    found[#found + 1] = job_id
  end
end
return found
