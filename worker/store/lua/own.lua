-- Take a request id for a job: a key of its own, perhaps on another shard than the job's.
--
-- KEYS  1 index entry, string
-- ARGV  1 job id   2 the job whose void entry may be replaced, or ""   3 lifetime, ms
-- Returns the job that owns the id now

local owner = redis.call("GET", KEYS[1])
if owner and owner ~= ARGV[2] then return owner end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[3])
return ARGV[1]
