-- Make those due whose turn it is: jobs that stand in line and that nobody is at.
--
-- KEYS  1 due sorted set   2 line sorted set   3.. records of the jobs, in the order of the entries
-- ARGV  1 now, Unix ms ("": the server's clock)   2.. entries of the line: <provider>:<place>:<job id>
-- Returns how many are due now that were not; an entry that its job does not stand at any more is removed

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local LONGEST_LEASE_MS = 900000  -- as in `_record.lua`
local function leased(ends) return ends > now and ends - now <= LONGEST_LEASE_MS end

local called = 0
for i = 3, #KEYS do
  local place, job_id = string.match(ARGV[i - 1], "^[^:]+:(.+):([^:]+)$")
  local stands_at, lease_until, nudges, closed_at =
    unpack(redis.call("HMGET", KEYS[i], "place", "lease_until", "nudges", "closed_at"))
  if stands_at ~= place or closed_at then
    redis.call("ZREM", KEYS[2], ARGV[i - 1])
  elseif not leased(tonumber(lease_until) or 0) and (tonumber(nudges) or 0) == 0 then
    called = called + redis.call("ZADD", KEYS[1], "XX", "LT", "CH", string.format("%.0f", now), job_id)
  end
end
return called
