-- Who is next in a provider's line: as many as there is room for.
--
-- given  limits, op, most
-- Returns {entry: <provider>:<place>:<job id>, ...}, the first in line first

local gate = gate_of(now, given.limits, keys)
if gate.waiting(given.op) == 0 then return {} end
local room = gate.room(given.op)
return room > 0 and gate.first(given.op, math.min(room, given.most)) or {}
