-- Move a job to another state. POSTs are begun by `begin`, new attempts by `attempt`.
--
-- given  to, rank (of its state), sources (comma-joined held words), attempt, path, detail, due_in_ms, facts and notes {name: value},
--        marks (comma-joined; what the target means):
--          listens  callbacks still matter there                 binds    the request id is known from here on
--          unpaid   no provider may have heard of the attempt    misses   it has ended without a video
--          holds    the provider may have the job                final    told to the caller
--          perishes its video must be copied before link_expires_at, unknown: before so many link_life_ms have passed
--        look_back_ms {held word that an earlier attempt may have ended as with a video: for how long it is asked}
--        and, each only where it applies: request_id, try_no, lease, error {stage, code, message},
--        links (JSON text), link_expires_at, look_until, owes_manifest, callback_in_ms (a poll found what a callback
--        should have told: one that has not come in so long is missed),
--        standing (of the money of money_attempt, when applied), amount (millionths that the provider itself says that the
--        attempt costs, kept whatever the answer) and basis, ledger {attempt: money} (that a manifest proves, when applied)
--        with ledger_at (when its job ended) and known_ms (see `was_counted`)
-- Returns {"applied" | "repeat" | "late" | "taken" (the id is an older attempt's) | "missing", record, due now: 1 or 0, 0,
--          has it changed what the caps count: 1 or 0}

if not job then return {"missing"} end
local attempt, source, ver = given.attempt, held(), int("ver")
local function means(mark) return listed(given.marks, mark) end
-- Until when the earlier attempts are asked, now that the current one has ended without a video; 0: there are none.
local function look_back_until()
  local longest = 0
  for earlier = 1, int("attempt") - 1 do
    longest = math.max(longest, given.look_back_ms[job["ended." .. earlier]] or 0)
  end
  return longest > 0 and now + longest or 0
end
local function set_links()
  if not given.links then return end
  redis.call("SET", LINKS, given.links)
  expire_with_record(LINKS)
  if given.link_expires_at then put("link_expires_at", given.link_expires_at) else drop("link_expires_at") end
end
local function set_urgency()
  if means("perishes") then
    local dies_at = tonumber(job.link_expires_at or "") or int("state_at") + given.link_life_ms
    redis.call("ZADD", PERISHING, text(dies_at), job_id)
  else
    redis.call("ZREM", PERISHING, job_id)
  end
end
local function answer(word, is_due)
  return {word, cjson.encode(job), is_due and 1 or 0, 0, has_counted_changed and 1 or 0}
end
local function refuse(word)
  save()
  save_money()
  return answer(word)
end
local function prove_money()
  if not given.ledger or was_counted(given.ledger_at, given.known_ms) then return end
  for number, line in pairs(given.ledger) do
    local money = read_money(line)
    if money then put_money(tonumber(number), money) end
  end
end

if given.request_id then
  for other = 1, int("attempt") do
    if other ~= attempt and bound(other) == given.request_id then return refuse("taken") end
  end
  if (bound(attempt) or given.request_id) ~= given.request_id then return refuse("late") end
end

local is_lease_lost = given.lease and not (job.lease == given.lease and leased())
-- a callback or an id tells of a POST that this record does not know: nobody may say that nothing was paid
local is_paid_already = means("unpaid") and (bound(attempt) or redis.call("HLEN", CANDIDATES) > 0)
local is_current = attempt == int("attempt")
local is_repeat = is_current and job.state == given.to
local is_legal = is_current and listed(given.sources, source) and (given.try_no or int("try_no")) == int("try_no")

keep(attempt, given.facts)
if given.amount then bill(given.money_attempt, given.amount, given.basis) end
if is_repeat then
  set_links()
  set_urgency()
  return refuse("repeat")
end
if not is_legal or is_lease_lost or is_paid_already then return refuse("late") end

leave_line()

put("ver", text(ver))
enter(given.to, given.path)
drop("lease", "lease_until", "leased_at")
for name, value in pairs(given.error or {}) do if value ~= "" then put("error_" .. name, value) end end
for name, value in pairs(given.notes) do put(name, value) end
if given.standing then stand(given.money_attempt, given.standing) end
prove_money()
if job.closed_at then reopen() end
due_at = now + given.due_in_ms
if means("final") then
  put("final_at", text(now))
  local look_until = math.max(tonumber(given.look_until or 0), means("misses") and look_back_until() or 0)
  if look_until > 0 then put("look_until", text(look_until)) end
  if given.owes_manifest then put("manifest_ver", "0") end
end
if means("listens") then
  if given.lease and job.call == "seen" then drop("call") end
  if job.call then due_at = now end
else
  drop("call")
  redis.call("DEL", CANDIDATES)
end
if means("binds") then
  put("submitted_at", text(now))
  drop("polls")
  if forget_events(attempt, bound(attempt) or "", false) then due_at = now end
end
set_links()
set_urgency()
save()
save_money()
note_move(source, given.path, attempt, given.detail)
if given.callback_in_ms and not has_terminal_event(attempt) then
  redis.call("ZADD", AWAITED, text(now + given.callback_in_ms), job.provider .. ":" .. job_id)
end
if means("holds") then
  redis.call("ZADD", OCCUPIED, 0, job.provider .. ":" .. job_id)
else
  redis.call("ZREM", OCCUPIED, job.provider .. ":" .. job_id)
end
return answer("applied", due_at <= now)
