-- Begin a request for one job, if there is room and it is the job's turn; else say why not.
--
-- given  limits, op, is_urgent: the job goes before all others
-- Returns {1 (it may be sent; counted) or 0, is it the breaker's probe: 1 or 0, why not, until when (0: unknown),
--          how many are before it} or false: there is no such job

if not job then return false end
local gate = gate_of(now, given.limits, {limits = LIMITS, occupied = OCCUPIED, line = LINE})
local refusal = gate.refusal(given.op, entry_at(place_for(given.op, given.is_urgent and 0 or now)), 0)
if refusal then return {0, 0, unpack(refusal)} end
local is_probe = gate.grant(given.op, job_id)
leave_line()
save()
return {1, is_probe and 1 or 0}
