-- Which jobs' videos wait to be copied, those whose links end first in front: a part of all that do.
--
-- KEYS  1 perishing sorted set   2 due sorted set
-- ARGV  1 now, Unix ms ("": the server's clock)   2, 3 the first and the last position, from 0
-- Returns {now, {job id, when its link ends, when it is due}, ...}; what is not due yet may be leased

local now = ARGV[1]
if now == "" then
  local time = redis.call("TIME")
  now = string.format("%.0f", time[1] * 1000 + math.floor(time[2] / 1000))
end
local found, rows = redis.call("ZRANGE", KEYS[1], ARGV[2], ARGV[3], "WITHSCORES"), {now}
for i = 1, #found, 2 do rows[#rows + 1] = {found[i], found[i + 1], redis.call("ZSCORE", KEYS[2], found[i]) or "inf"} end
return rows
