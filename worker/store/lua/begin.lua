-- Write down that the next POST of the current attempt is about to be sent.
--
-- given  attempt, state (of a job whose POST is under way), rank, sources (comma-joined held words), lease, room_ms, path,
--        notes {name: value}, money {standing, amount (millionths), day (UTC), ms, basis} of the attempt from now on,
--        and limits (see _limits.lua) where the provider's room is asked for
-- Returns {"applied", record, 0, was it let through by an open breaker: 1 or 0},
--         {"repeat" (begun already) | "late" (moved on, too little left of the lease, or paid already) | "missing", record, 0}
--         or {"busy" (no room for a POST, or not its turn), record, 0, {why, until when (0: unknown), how many are before it}}

if not job then return {"missing"} end
local source = held()
local function answer(word, ...) return {word, cjson.encode(job), 0, ...} end

if given.attempt ~= int("attempt") then return answer("late") end
if job.state == given.state then return answer("repeat") end
local has_room = job.lease == given.lease and int("lease_until") - now > given.room_ms
-- a callback or an id tells of a POST that this record does not know: another one would be paid twice
local is_paid_already = bound(given.attempt) or redis.call("HLEN", CANDIDATES) > 0
if not listed(given.sources, source) or not has_room or is_paid_already then return answer("late") end

local gate = given.limits and gate_of(now, given.limits, {limits = LIMITS, occupied = OCCUPIED, line = LINE})
local refusal = gate and gate.refusal("submit", entry_at(place_for("submit", math.max(int("refused_at"), int("accepted_at")))), given.money.amount)
if refusal then
  if gate.short then redis.call("HSET", LIMITS, "submit.short", gate.short) end
  return answer("busy", refusal)
end
put_money(given.attempt, given.money)
leave_line()

enter(given.state, given.path)
if job.call == "seen" then drop("call") end
for name, value in pairs(given.notes) do put(name, value) end
put("try_no", text(int("try_no") + 1))
due_at = int("lease_until")
save()
save_money()
note_move(source, given.path, given.attempt, "")
local is_probe = gate and gate.grant("submit", job_id)
redis.call("ZADD", OCCUPIED, 0, job.provider .. ":" .. job_id)
return answer("applied", is_probe and 1 or 0)
