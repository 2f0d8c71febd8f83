-- Which jobs' videos wait to be copied, the most urgent in front: a part of all that do.
--
-- Scores are when links end; those of jobs whose copy has failed are more by BEHIND (`rest`), so these stand behind all
-- that have not been tried, except in the last hour of their links.
--
-- KEYS  1 perishing sorted set   2 due sorted set
-- ARGV  1 now, Unix ms ("": the server's clock)   2, 3 the first and the last position, from 0   4 "untried": only those
-- Returns {now, {job id, its rank, when it is due}, ...}, the lowest rank being the most urgent; what is not due yet may
--         be leased

local BEHIND, LAST_HOUR_MS = 1e14, 3600000
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local rows = {string.format("%.0f", now)}

local function add(found, shift)
  for i = 1, #found, 2 do
    local rank = found[i + 1] - shift
    if rank < BEHIND or ARGV[4] ~= "untried" then
      rows[#rows + 1] = {found[i], string.format("%.0f", rank), redis.call("ZSCORE", KEYS[2], found[i]) or "inf"}
    end
  end
end

if ARGV[2] == "0" and ARGV[4] ~= "untried" then
  local from, to = string.format("%.0f", BEHIND + now), string.format("%.0f", BEHIND + now + LAST_HOUR_MS)
  add(redis.call("ZRANGEBYSCORE", KEYS[1], from, to, "WITHSCORES", "LIMIT", 0, ARGV[3] + 1), BEHIND)
end
add(redis.call("ZRANGE", KEYS[1], ARGV[2], ARGV[3], "WITHSCORES"), 0)
return rows
