-- One look at the index of the lists: jobs of some states, the newest first, from a position on.
--
-- All states are looked at in one moment, so that a job that moves from one to another is neither missed nor met twice.
-- A score is <rank of the state> * RANK_STEP + <accepted at>; of one instant, the greater job id comes first.
--
-- KEYS  1 listed sorted set
-- ARGV  1 how many at most   2, 3 the position: accepted at, job id; what comes after it is wanted
--       4 the oldest instant that is wanted, Unix ms   5.. ranks of the states
-- Returns {job id, accepted at, job id, accepted at, ...}

local RANK_STEP = 1e13
local most, from_at, from_id, oldest = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local function text(number) return string.format("%.0f", number) end

-- Byte by byte, as sorted sets compare; Lua's own operators go by the server's locale.
local function is_below(a, b)
  for i = 1, math.min(#a, #b) do
    local one, other = string.byte(a, i), string.byte(b, i)
    if one ~= other then return one < other end
  end
  return #a < #b
end

-- The jobs of one state, from the position on; `at` is where the next one stands in `rows`.
local function stream_of(rank)
  local base, count, rows, at = rank * RANK_STEP, most, nil, nil
  repeat
    rows = redis.call("ZREVRANGEBYSCORE", KEYS[1], text(base + from_at), text(base + oldest), "WITHSCORES", "LIMIT", 0, count)
    at = 1
    while rows[at] and tonumber(rows[at + 1]) == base + from_at and not is_below(rows[at], from_id) do at = at + 2 end
    -- many of one instant may stand before the position
    local is_all, is_enough = #rows < 2 * count, #rows + 1 - at >= 2 * most
    count = 2 * count
  until is_all or is_enough
  return {rows = rows, at = at, base = base}
end

local streams, found = {}, {}
for i = 5, #ARGV do streams[#streams + 1] = stream_of(tonumber(ARGV[i])) end
while #found < 2 * most do
  local best, best_id, best_at
  for _, stream in ipairs(streams) do
    local job_id = stream.rows[stream.at]
    local accepted_at = job_id and stream.rows[stream.at + 1] - stream.base
    if job_id and (not best or accepted_at > best_at or (accepted_at == best_at and is_below(best_id, job_id))) then
      best, best_id, best_at = stream, job_id, accepted_at
    end
  end
  if not best then break end
  found[#found + 1], found[#found + 2] = best_id, text(best_at)
  best.at = best.at + 2
end
return found
