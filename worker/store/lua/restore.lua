-- Record a job that has long been archived, from its manifest, unless anything is known of it.
--
-- given  fields {name: value}, rank, path, detail, retention_ms, tombstone_ms
-- ARGV   4 what is known of its spec, JSON
-- Returns {"applied" | "repeat" (there is a record, or a tombstone)}

if job or redis.call("EXISTS", TOMBSTONE) == 1 then return {"repeat"} end

job = {}
for name, value in pairs(given.fields) do put(name, value) end
save()
redis.call("DEL", CANDIDATES, EVENTS)
begin_history(ARGV[4], "")
note_move("", given.path, int("attempt"), given.detail)
close()
return {"applied", cjson.encode(job)}
