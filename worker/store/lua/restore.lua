-- Record a job that has long been archived, from its manifest, unless anything is known of it.
--
-- given  fields {name: value}, rank, path, detail, retention_ms, tombstone_ms. The money of its attempts is added to the
--        sums; a job that those have counted, and that has long been forgotten in order, comes back without.
-- ARGV   4 what is known of its spec, JSON
-- Returns {"applied" | "repeat" (there is a record, or a tombstone)}

if job or redis.call("EXISTS", TOMBSTONE) == 1 then return {"repeat"} end

job = {}
local ledger = {}
for name, value in pairs(given.fields) do
  local attempt = string.match(name, "^money%.(%d+)$")
  if attempt then ledger[tonumber(attempt)] = read_money(value) else put(name, value) end
end
if not was_counted(int("final_at"), given.tombstone_ms) then
  for attempt, money in pairs(ledger) do put_money(attempt, money) end
end
save()
save_money()
redis.call("DEL", CANDIDATES, EVENTS)
begin_history(ARGV[4], "")
note_move("", given.path, int("attempt"), given.detail)
close()
return {"applied", cjson.encode(job)}
