-- What stands in front of the scripts that count the POSTs begun: `INTENTS` is a hash.
--
-- count    POSTs begun so far     lost_at  when it was last seen to have gone backwards, Unix ms
-- losses   how often that was

-- The POSTs begun, of which somebody knows *seen*: fewer, and Redis is an older self, which has lost the rest.
local function count_intents(seen)
  local count, lost_at = unpack(redis.call("HMGET", INTENTS, "count", "lost_at"))
  local intents = {count = tonumber(count or 0), lost_at = tonumber(lost_at or -1), is_lost = false}
  if intents.count < seen then
    intents.count, intents.lost_at, intents.is_lost = seen, now, true
    redis.call("HSET", INTENTS, "count", string.format("%.0f", seen), "lost_at", string.format("%.0f", now))
    redis.call("HINCRBY", INTENTS, "losses", 1)
  end
  return intents
end

