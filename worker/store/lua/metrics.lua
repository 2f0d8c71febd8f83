-- One shard as the metrics tell it; changes nothing.
--
-- KEYS  1 due sorted set   2 listed sorted set   3 perishing sorted set   4 metrics hash   5 counters hash
-- ARGV  1 now, Unix ms ("": the server's clock)   2 JSON object: ranks {state, ...}: rank of each,
--         open {rank, ...} (whose oldest jobs are wanted), oldest (how many of each), within_ms {ms, ...} (of links' ends)
-- Returns {now, {jobs of each rank, in the order given}, {links that end within each time}, metrics {name, value, ...},
--          counters {name, value, ...}, ids of the oldest jobs}

local RANK_STEP, BEHIND = 1e13, 1e14
local now, given = tonumber(ARGV[1]), cjson.decode(ARGV[2])
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function text(number) return string.format("%.0f", number) end
local function bounds(rank) return text(rank * RANK_STEP), text(rank * RANK_STEP + RANK_STEP - 1) end

local jobs, ends, oldest = {}, {}, redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", text(now), "LIMIT", 0, given.oldest)
for i, rank in ipairs(given.ranks) do jobs[i] = redis.call("ZCOUNT", KEYS[2], bounds(rank)) end
for i, within in ipairs(given.within_ms) do
  -- the first try, and those whose copy has failed (`rest`)
  ends[i] = redis.call("ZCOUNT", KEYS[3], "-inf", text(now + within))
    + redis.call("ZCOUNT", KEYS[3], text(BEHIND), text(BEHIND + now + within))
end
for _, rank in ipairs(given.open) do
  local first, last = bounds(rank)
  for _, job_id in ipairs(redis.call("ZRANGEBYSCORE", KEYS[2], first, last, "LIMIT", 0, given.oldest)) do
    oldest[#oldest + 1] = job_id
  end
end
return {text(now), jobs, ends, redis.call("HGETALL", KEYS[4]), redis.call("HGETALL", KEYS[5]), oldest}
