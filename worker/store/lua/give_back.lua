-- Give back what a POST had reserved: it was surely not taken, or its provider charges nothing for what it made.
--
-- KEYS  1 spent hash   2 reserved hash of the day
-- ARGV  1 UTC day   2 which POST: <job id>:<attempt>:<try>
-- Returns 1 if it was reserved, else 0: it is given back once

local held = redis.call("HGET", KEYS[2], ARGV[2])
if not held then return 0 end
redis.call("HDEL", KEYS[2], ARGV[2])
redis.call("HINCRBY", KEYS[1], ARGV[1], "-" .. held)
return 1
