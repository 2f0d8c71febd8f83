-- Hear how a request went: hold the provider back, open its circuit breaker, or close it: any probe that is answered
-- well does, however many were let through meanwhile.
--
-- given  limits, op, prober: whose request it was, outcome ("answered", "failed" or "locked_out"), why,
--        hold_ms: asked to wait so long (0: not asked)
-- Returns {was it the breaker's probe: 1 or 0, did it open the breaker: 1 or 0}

local gate, op = gate_of(now, given.limits, keys), given.op
local was_probe = gate.take_probe(op, given.prober)
local has_opened = false
if given.hold_ms > 0 then
  local at = math.max(now + given.hold_ms, gate.blocked(op) == "asked_to_wait" and gate.state[op .. ".hold_until"] or 0)
  redis.call("HSET", KEYS[1], op .. ".hold_until", string.format("%.0f", at))
end
if given.outcome ~= "answered" then
  has_opened = gate.fail(op, given.why, given.outcome == "locked_out")
elseif was_probe then
  gate.close(op)
end
return {was_probe and 1 or 0, has_opened and 1 or 0}
