-- Which jobs are due, the longest due first.
--
-- KEYS  1 due sorted set
-- ARGV  1 now, Unix ms ("": the server's clock)   2 how many at most
-- Returns {job id, ...}

local now = ARGV[1]
if now == "" then
  local time = redis.call("TIME")
  now = string.format("%.0f", time[1] * 1000 + math.floor(time[2] / 1000))
end
return redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", now, "LIMIT", 0, ARGV[2])
