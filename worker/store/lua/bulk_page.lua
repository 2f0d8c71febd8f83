-- Take a page of the lists into a bulk act's jobs to do; only the page that comes next.
--
-- KEYS  1 the bulk's hash   2 its jobs to do
-- ARGV  1 the cursor that the page was read from   2 the cursor of the next page   3 1: there is no next page, else 0
--       4 life of its keys, ms   5.. attempt, job id, ...
-- Returns 1, or 0 where the page was taken before or the bulk is gone

if redis.call("HGET", KEYS[1], "cursor") ~= ARGV[1] or redis.call("HGET", KEYS[1], "listed") == "1" then return 0 end

redis.call("HSET", KEYS[1], "cursor", ARGV[2], "listed", ARGV[3])
if #ARGV > 4 then
  redis.call("HINCRBY", KEYS[1], "jobs", (#ARGV - 4) / 2)
  redis.call("ZADD", KEYS[2], unpack(ARGV, 5))
  redis.call("PEXPIRE", KEYS[2], ARGV[4])
end
return 1
