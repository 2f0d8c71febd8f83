-- Write a task's result unless one as new stands.
--
-- A record that Redis has lost begins again with small versions, but never with an earlier `state_at`: so that comes first.
--
-- KEYS  1 result  string  Celery's own result entry (JSON), with our `callsheet_at` and `callsheet_ver` beside its fields
-- ARGV  1 the entry to write  2 when its record entered its state, Unix ms  3 its record's version  4 seconds to keep it
-- Returns "written" (and told to whoever waits), or what stands instead: "same" or "newer"

local held, at, ver = redis.call("GET", KEYS[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if held then
  local decoded, entry = pcall(cjson.decode, held)
  local is_ours = decoded and type(entry) == "table"
  local held_at = is_ours and tonumber(entry["callsheet_at"]) or 0
  local held_ver = is_ours and tonumber(entry["callsheet_ver"]) or 0
  if held_at == at and held_ver == ver then return "same" end
  if held_at > at or (held_at == at and held_ver > ver) then return "newer" end
end
redis.call("SETEX", KEYS[1], ARGV[4], ARGV[1])
redis.call("PUBLISH", KEYS[1], ARGV[1])
return "written"
