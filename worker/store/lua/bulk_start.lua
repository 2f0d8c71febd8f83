-- Record a bulk act, once, to be worked on by the clock.
--
-- KEYS  1 the bulk's hash   2 the index of bulks, by when they were asked for   3 the set of those to be worked on
--       4 the bulk's jobs that are to do, by the attempt that it was asked for
-- ARGV  1 id   2 now, Unix ms ("": the server's clock)   3 what is asked, JSON   4 life of its keys, ms
--       5 1: its jobs are those that follow, else it walks the lists   6.. attempt, job id, ...
-- Returns 1, or 0 where there is one of that id

local now = tonumber(ARGV[2])
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
if redis.call("EXISTS", KEYS[1]) == 1 then return 0 end

local at = string.format("%.0f", now)
redis.call("HSET", KEYS[1], "asked", ARGV[3], "at", at, "state", "working", "cursor", "", "jobs", (#ARGV - 5) / 2, "listed", ARGV[5])
redis.call("PEXPIRE", KEYS[1], ARGV[4])
redis.call("ZADD", KEYS[2], at, ARGV[1])
redis.call("ZREMRANGEBYSCORE", KEYS[2], "-inf", string.format("%.0f", now - ARGV[4]))
redis.call("SADD", KEYS[3], ARGV[1])
if #ARGV > 5 then
  redis.call("ZADD", KEYS[4], unpack(ARGV, 6))
  redis.call("PEXPIRE", KEYS[4], ARGV[4])
end
return 1
