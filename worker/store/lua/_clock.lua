-- What stands in front of scripts that are about no single job, and need the time and the intents.

local INTENTS, now = KEYS[1], tonumber(ARGV[1])
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

