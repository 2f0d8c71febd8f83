-- Note that the provider, asked with our key, did not know a request that only callbacks have named: a newcomer may take
-- its place. It is a candidate of the current attempt, or was named by callbacks of an older one, which were kept.
--
-- given  request_id, attempt
-- Returns 1 if it is such a one, else 0

if job and given.attempt ~= int("attempt") then
  local named, is_there = cjson.encode(given.request_id), 0
  for fingerprint, event in pairs(events()) do
    if event.attempt == given.attempt and event.request_id == named then
      local body = string.match(redis.call("HGET", EVENTS, fingerprint), "^[^\n]*\n(.*)$")
      event.is_denied = true
      redis.call("HSET", EVENTS, fingerprint, head_of(event) .. body)
      is_there = 1
    end
  end
  return is_there
end
local value = job and redis.call("HGET", CANDIDATES, given.request_id)
if not value then return 0 end
redis.call("HSET", CANDIDATES, given.request_id, string.match(value, "^%d+") .. " denied")
return 1
