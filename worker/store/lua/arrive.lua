-- Take one delivery of a callback: keep it and make the job due, or say why not.
--
-- given  attempt, request_id, fingerprint, is_terminal, max_candidates, max_events, max_old_events, max_contradictions,
--        and comma-joined held words: listening (a callback may matter), binding (of these: the request id is to be
--        learned), reviving (of these: the job is final, but its video may still come)
-- ARGV   4 event JSON
-- Returns {word, state, provider}, the words being those of `Arrival`

if not job then
  local tombstone = redis.call("GET", TOMBSTONE)
  if not tombstone then return {"missing"} end
  local known = cjson.decode(tombstone)
  return {"late", known.state, known.provider}
end

local attempt, word = given.attempt, held()
local is_current = attempt == int("attempt")
local is_new = redis.call("HEXISTS", EVENTS, given.fingerprint) == 0
local function answer(outcome) return {outcome, job.state, job.provider} end
local function store() return store_event(given.fingerprint, given, ARGV[4], given.max_events, given.max_old_events) end

if (bound(attempt) or given.request_id) ~= given.request_id then return answer("mismatch") end
if not is_current then
  if is_new and not store() then return answer("full") end
  expire_with_record(EVENTS)
  return answer("late")
end
if not listed(given.listening, word) then return answer("late") end

if not bound(attempt) then
  if not listed(given.binding, word) then return answer("late") end
  if not keep_candidate(given.request_id, given.max_candidates) then return answer("full") end
elseif not given.is_terminal then
  return answer("noted")
end
if is_new then store() end
-- a job that is final anyway is not looked at again for what was looked at before
local is_heard = int("contradictions") < given.max_contradictions and (is_new or not listed(given.reviving, word))
if is_heard or not bound(attempt) then wake() end
save()
if job.closed_at then expire_with_record(EVENTS) end
return answer(is_new and "stored" or "repeat")
