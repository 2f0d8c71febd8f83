-- Count one contradiction if the provider denied what a stored callback said, and forget that callback.
--
-- given  seen_until: callbacks stored after that instant were not there to be denied
-- Returns how many contradictions the job has

if not job then return 0 end

local is_denied = false
for fingerprint, event in pairs(events()) do
  if event.attempt == int("attempt") and event.is_terminal and event.at <= given.seen_until then
    redis.call("HDEL", EVENTS, fingerprint)
    is_denied = true
  end
end
if is_denied then
  put("contradictions", text(int("contradictions") + 1))
  save()
end
return int("contradictions")
