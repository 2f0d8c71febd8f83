-- Write a task's result unless one as new stands.
--
-- KEYS  1 result  string  Celery's own result entry (JSON), with our `callsheet_ver` beside its fields
-- ARGV  1 the entry to write  2 its version  3 seconds to keep it
-- Returns "written" (and told to whoever waits), or what stands instead: "same" or "newer"

local held, ver = redis.call("GET", KEYS[1]), tonumber(ARGV[2])
if held then
  local decoded, entry = pcall(cjson.decode, held)
  local held_ver = decoded and type(entry) == "table" and tonumber(entry["callsheet_ver"]) or 0
  if held_ver >= ver then return held_ver > ver and "newer" or "same" end
end
redis.call("SETEX", KEYS[1], ARGV[3], ARGV[1])
redis.call("PUBLISH", KEYS[1], ARGV[1])
return "written"
