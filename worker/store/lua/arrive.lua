-- Take one arrival of a callback: keep it and make the job due, or say why not.
--
-- given  attempt, max_candidates, max_events, max_old_events, max_contradictions, orphaned_ms (how long the ids of a
--        record that is missing are kept),
--        comma-joined held words: listening (a callback may matter), binding (of these: the request id is to be
--        learned), reviving (of these: the job is final, but its video may still come), asking (an older attempt may still
--        be asked),
--        and, unless only its URL could be read: request_id, fingerprint, is_terminal
-- ARGV   4 event JSON, or ""
-- Returns {word, state, provider, has it made the job due: 1 or 0}, the words being those of `Arrival`
--
-- One that brings something new makes the job due at once, any other at most once a minute: who knows the URL
-- can send as many as he likes, and each look costs a GET.

local function store() return store_event(given.fingerprint, given, ARGV[4], given.max_events, given.max_old_events) end

if not job then
  local tombstone = redis.call("GET", TOMBSTONE)
  if tombstone then
    local known = cjson.decode(tombstone)
    return {"late", known.state, known.provider, 0}
  end
  -- Redis has lost a job that was paid for: its ids are kept under its own name, for when it is sent again
  job = {attempt = text(given.attempt)}
  if given.request_id and keep_candidate(given.request_id, given.max_candidates) then
    if redis.call("HEXISTS", EVENTS, given.fingerprint) == 0 then store() end
    for _, key in ipairs({CANDIDATES, EVENTS}) do redis.call("PEXPIRE", key, given.orphaned_ms) end
  end
  return {"missing"}
end

local attempt, word = given.attempt, held()
local is_current = attempt == int("attempt")
local is_listening = is_current and listed(given.listening, word)
local is_trusted = int("contradictions") < given.max_contradictions
local function answer(outcome, is_due)
  if is_current and given.is_terminal then redis.pcall("ZREM", AWAITED, job.provider .. ":" .. job_id) end
  tally("callback", job.provider, outcome == "stored" and not bound(attempt) and "early" or outcome)
  return {outcome, job.state, job.provider, is_due and 1 or 0}
end
local function answer_nothing_new(outcome)
  if not is_listening or not is_trusted then return answer(outcome) end
  local is_due = wake_once_a_minute()
  save()
  return answer(outcome, is_due)
end

if not given.request_id then return answer_nothing_new(is_listening and "unread" or "late") end
if (bound(attempt) or given.request_id) ~= given.request_id then return answer_nothing_new("mismatch") end

local is_new = redis.call("HEXISTS", EVENTS, given.fingerprint) == 0
if not is_current then
  if is_new and not store() then
    -- the requests that were named before are asked about, so that those that nobody knows give way
    if job.closed_at or not listed(given.asking, word) then return answer("full") end
    local due_before, woken_before = redis.call("ZSCORE", DUE, job_id), job.woken_at
    local is_due = wake_once_a_minute()
    if job.woken_at ~= woken_before then put("woken_from", job.woken_from or due_before or text(now)) end
    save()
    return answer("full", is_due)
  end
  expire_with_record(EVENTS)
  return answer("late")
end
if not is_listening then return answer("late") end

local brings_more
if not bound(attempt) then
  if not listed(given.binding, word) then return answer("late") end
  -- one that takes a denied one's place waits its minute: else each of a flood would cost a GET
  brings_more = redis.call("HEXISTS", CANDIDATES, given.request_id) == 0
    and redis.call("HLEN", CANDIDATES) < given.max_candidates
  if not keep_candidate(given.request_id, given.max_candidates) then return answer("full") end
elseif not given.is_terminal then
  return answer_nothing_new("noted")
else
  brings_more = is_new and is_trusted and not has_terminal_event(attempt)
end
if is_new then store() end
local is_due
if brings_more then
  is_due = wake()
elseif not bound(attempt) or is_trusted and (is_new or not listed(given.reviving, word)) then
  -- a job that is final anyway is not looked at again for what was looked at before
  is_due = wake_once_a_minute()
end
save()
if job.closed_at then expire_with_record(EVENTS) end
return answer(is_new and "stored" or "repeat", is_due)
