-- Begin a sweep, unless one began a moment ago.
--
-- KEYS  1 instant of the last one, string
-- ARGV  1 now, Unix ms ("": the server's clock)   2 how long that moment is, ms
-- Returns 1 (begin) or 0; a last one that lies ahead was written by a clock that has been set back, and counts for nothing

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local last = tonumber(redis.call("GET", KEYS[1]) or 0)
if last <= now and now - last < tonumber(ARGV[2]) then return 0 end
redis.call("SET", KEYS[1], string.format("%.0f", now))
return 1
