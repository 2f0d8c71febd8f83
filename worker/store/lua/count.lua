-- Add to a counter, and keep when that was last done: an alarm is about what happens now.
--
-- KEYS  1 counters hash
-- ARGV  1 counter's name   2 how much   3 now, Unix ms ("": the server's clock)
-- Returns nothing

local now = ARGV[3]
if now == "" then
  local time = redis.call("TIME")
  now = string.format("%.0f", time[1] * 1000 + math.floor(time[2] / 1000))
end
redis.call("HINCRBY", KEYS[1], ARGV[1], ARGV[2])
redis.call("HSET", KEYS[1], ARGV[1] .. "@", now)
