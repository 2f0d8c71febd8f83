-- Begin a request that stands in no line: a look that no job waits for by itself.
--
-- given  limits, op
-- Returns {1 (it may be sent; counted) or 0, is it the breaker's probe: 1 or 0, why not, until when (0: unknown), 0}

local gate = gate_of(now, given.limits, keys)
local room, why, at = gate.room(given.op)
if room < 1 then return {0, 0, why, string.format("%.0f", at or 0), 0} end
return {1, gate.grant(given.op, given.prober) and 1 or 0}
