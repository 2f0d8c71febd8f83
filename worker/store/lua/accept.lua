-- Record a job, once. Request ids that callbacks named while its record was missing are taken over: Redis has lost the
-- job, which may be paid for, and somebody must look before it is sent again.
--
-- given  spec_sha256, provider, model, state, rank, path, due_in_ms, version, facts {name: value}, notifies: its end is to
--        be told by a notification
-- ARGV   4 spec JSON   5 the Celery request, or ""
-- Returns {"applied" | "repeat" (same spec) | "conflict" (another spec), record}

local tombstone = redis.call("GET", TOMBSTONE)
local known = job or (tombstone and cjson.decode(tombstone))
if known then
  if known.spec_sha256 ~= given.spec_sha256 then return {"conflict", cjson.encode(known)} end
  if job and ARGV[5] ~= "" then keep_request(ARGV[5]) end
  return {"repeat", cjson.encode(known)}
end

job = {}
put("v", given.version)
put("state", given.state)
put("ver", "1")
put("attempt", "1")
put("spec_sha256", given.spec_sha256)
put("provider", given.provider)
put("model", given.model)
put("accepted_at", text(now))
put("state_at", text(now))
put("path", given.path)
if given.notifies then put("notified_ver", "0") end
for name, value in pairs(given.facts) do put(name, value) end
due_at = now + given.due_in_ms
local is_known_by_callbacks = redis.call("HLEN", CANDIDATES) > 0
if is_known_by_callbacks then wake() end

-- the record first: a Redis that is out of memory refuses it, but would let everything pass after a DEL
save()
if is_known_by_callbacks then
  for _, key in ipairs({CANDIDATES, EVENTS}) do redis.call("PERSIST", key) end
else
  redis.call("DEL", EVENTS)
end
begin_history(ARGV[4], ARGV[5])
note_move("", given.path, 1, "")
return {"applied", cjson.encode(job)}
