-- What stands in front of the scripts about one provider.
--
-- KEYS  1 limits hash   2 occupied sorted set   3 line sorted set
-- ARGV  1 now, Unix ms ("": the server's clock)   2 JSON object: the script's named arguments (`given`)

local now, given = tonumber(ARGV[1]), cjson.decode(ARGV[2])
local keys = {limits = KEYS[1], occupied = KEYS[2], line = KEYS[3]}
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

