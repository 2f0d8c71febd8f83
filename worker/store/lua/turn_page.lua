-- Move on in the look through jobs after a rollback, if it stands where the caller has looked.
--
-- KEYS  1 rollback hash
-- ARGV  1 the mark of the page that was looked at   2 that of the next one ("": there is none)   3 now, Unix ms
-- Returns 1, or 0: another process has moved on, or the look was begun anew

if redis.call("HGET", KEYS[1], "mark") ~= ARGV[1] then return 0 end
if ARGV[2] == "" then
  redis.call("HDEL", KEYS[1], "mark")
else
  redis.call("HSET", KEYS[1], "mark", ARGV[2], "given_at", ARGV[3])
end
return 1
