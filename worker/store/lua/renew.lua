-- Make a live lease longer.
--
-- given  lease, lease_ms
-- Returns {now, record} or false: the lease has ended or is somebody else's

if not job or job.lease ~= given.lease or not leased() then return false end

due_at = now + given.lease_ms
put("lease_until", text(due_at))
save()
return {text(now), cjson.encode(job)}
