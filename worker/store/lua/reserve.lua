-- Reserve the cost of one POST of the day's budget, which is one for all shards: unless that would pass it.
--
-- KEYS  1 spent hash   2 reserved hash of the day
-- ARGV  1 UTC day   2 which POST: <job id>:<attempt>:<try>   3 its cost, millionths   4 the budget ("": there is none)
--       5 how long the day's reservations are kept, ms
-- Returns {1 (reserved), 2 (it was before) or 0 (it would pass the budget), spent that day without it, millionths}

local cost, spent = tonumber(ARGV[3]), tonumber(redis.call("HGET", KEYS[1], ARGV[1]) or 0)
local held = redis.call("HGET", KEYS[2], ARGV[2])
if held then return {2, string.format("%.0f", spent - held)} end
if ARGV[4] ~= "" and spent + cost > tonumber(ARGV[4]) then return {0, string.format("%.0f", spent)} end
redis.call("HSET", KEYS[2], ARGV[2], ARGV[3])
redis.call("PEXPIRE", KEYS[2], ARGV[5])
redis.call("HINCRBY", KEYS[1], ARGV[1], ARGV[3])
return {1, string.format("%.0f", spent)}
