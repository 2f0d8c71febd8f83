-- Keep what became of one job of a bulk act, once.
--
-- KEYS  1 the bulk's hash   2 its jobs to do   3 the set of those begun   4 the list of its results
-- ARGV  1 job id   2 the result, JSON   3 the counter: done, not_done or interrupted   4 its outcome's code
--       5 millionths of USD that it costs   6 life of its keys, ms
-- Returns 1, or 0 where it was reported before

if redis.call("ZREM", KEYS[2], ARGV[1]) == 0 then return 0 end

redis.call("SREM", KEYS[3], ARGV[1])
redis.call("RPUSH", KEYS[4], ARGV[2])
redis.call("PEXPIRE", KEYS[4], ARGV[6])
redis.call("HINCRBY", KEYS[1], ARGV[3], 1)
redis.call("HINCRBY", KEYS[1], "outcome:" .. ARGV[4], 1)
redis.call("HINCRBY", KEYS[1], "costs", ARGV[5])
return 1
