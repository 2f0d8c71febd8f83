-- Count the callbacks that did not come in time: the polls that found the ends of their generations were needed.
--
-- KEYS  1 awaited sorted set   2 metrics hash   3 counters hash
-- ARGV  1 now, Unix ms ("": the server's clock)   2 the counter's name   3 how many at most
-- Returns how many

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local missed = redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", string.format("%.0f", now), "LIMIT", 0, ARGV[3])
if #missed == 0 then return 0 end
redis.call("ZREM", KEYS[1], unpack(missed))
for _, entry in ipairs(missed) do
  redis.call("HINCRBY", KEYS[2], "callback|" .. string.match(entry, "^[^:]*") .. "|missed", 1)
end
redis.call("HINCRBY", KEYS[3], ARGV[2], #missed)
redis.call("HSET", KEYS[3], ARGV[2] .. "@", string.format("%.0f", now))
return #missed
