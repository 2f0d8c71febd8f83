-- How a provider's limits stand; changes nothing.
--
-- given  limits
-- Returns {occupied, for "submit" and then "poll": calls in the last minute, failures,
--          waiting in line, why none may begin now ("": one may), until when (0: unknown), why the breaker is open
--          ("": closed), open since (0: closed)}

local gate = gate_of(now, given.limits, keys)
local found = {gate.occupied()}
for _, op in ipairs({"submit", "poll"}) do
  local _, why, at = gate.room(op)
  for _, value in ipairs({
    gate.calls[op], gate.failed[op], gate.waiting(op), why or "", string.format("%.0f", at or 0),
    gate.state[op .. ".open_why"] or "", gate.state[op .. ".open_since"] or "0",
  }) do
    found[#found + 1] = value
  end
end
return found
