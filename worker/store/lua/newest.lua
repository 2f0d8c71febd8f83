-- One look at the index of the lists: jobs of some states, the newest first, from a position on.
--
-- All states are looked at in one moment, so that a job that moves from one to another is neither missed nor met twice.
-- A score is <rank of the state> * RANK_STEP + <accepted at>; of one instant, the greater job id comes first.
--
-- KEYS  1 listed sorted set
-- ARGV  1 how many at most   2, 3 the position: accepted at, job id; what comes after it is wanted
--       4 the oldest instant that is wanted, Unix ms   5.. ranks of the states
-- Returns {job id, score, job id, score, ...}

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

-- The jobs of one state, from the position on, some at a time.
local function stream_of(rank, some)
  local base = rank * RANK_STEP
  -- where the state's jobs of the position's instant begin
  local place, rows, at = redis.call("ZCOUNT", KEYS[1], "(" .. text(base + from_at), "+inf"), {}, 1
  local stream = {}

  function stream.advance()
    repeat
      at = at + 2
      if at > #rows then
        rows, at = redis.call("ZREVRANGE", KEYS[1], place, place + some - 1, "WITHSCORES"), 1
        place = place + some
      end
      stream.job_id, stream.score = rows[at], rows[at + 1]
      stream.accepted_at = stream.job_id and stream.score - base
      if stream.job_id and stream.accepted_at < oldest then stream.job_id = nil end
    until not stream.job_id or stream.accepted_at < from_at or is_below(stream.job_id, from_id)
  end

  stream.advance()
  return stream
end

local streams, found = {}, {}
for i = 5, #ARGV do
  local stream = stream_of(tonumber(ARGV[i]), math.ceil(most / (#ARGV - 4)) + 1)
  if stream.job_id then streams[#streams + 1] = stream end
end
while #found < 2 * most and #streams > 0 do
  local n, best = 1, streams[1]
  for i = 2, #streams do
    local stream = streams[i]
    if stream.accepted_at > best.accepted_at
      or (stream.accepted_at == best.accepted_at and is_below(best.job_id, stream.job_id)) then
      n, best = i, stream
    end
  end
  found[#found + 1], found[#found + 2] = best.job_id, best.score
  best.advance()
  if not best.job_id then table.remove(streams, n) end
end
return found
