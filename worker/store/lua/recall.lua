-- Have a callback that was kept looked at again, as if it came now.
--
-- given  fingerprint, max_candidates, detail, preview (answer alone: nothing is written), and comma-joined held words: listening, binding (as for `arrive`)
-- Returns {"applied" | "late" (of another attempt, or the job needs no callback any more) | "full" | "gone" (not kept)
--          | "missing", record}

if not job then return {"missing"} end
local function answer(word) return {word, cjson.encode(job)} end
local value = redis.call("HGET", EVENTS, given.fingerprint)
if not value then return answer("gone") end

local event = event_head(value)
local request_id = cjson.decode(event.request_id)
if event.attempt ~= int("attempt") or not listed(given.listening, held()) then return answer("late") end
if not bound(event.attempt) then
  if not listed(given.binding, held()) then return answer("late") end
  if not has_candidate_room(request_id, given.max_candidates) then return answer("full") end
  if not given.preview then keep_candidate(request_id, given.max_candidates) end
end
if given.preview then return answer("applied") end
wake()
save()
note_move(held(), "operator", int("attempt"), given.detail)
return answer("applied")
