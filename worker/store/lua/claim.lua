-- Lease an open job to one step; everybody else waits for the lease's end.
--
-- given  states (comma-joined), lease_ms, only_due, nonce (the lease's token: a number counted here would be given
--        to two claimants by a failover that has lost the first)
-- Returns {now, record (with `woken_from`, which is forgotten here), events stored, candidates} or false: missing, closed, leased or moved on,
--         or, with only_due, not due yet and not nudged either

if not job or job.closed_at or leased() or not listed(given.states, job.state) then return false end
if given.only_due and int("nudges") == 0 and tonumber(redis.call("ZSCORE", DUE, job_id) or 0) > now then return false end

put("lease", given.nonce)
due_at = now + given.lease_ms
put("lease_until", text(due_at))
put("leased_at", text(now))
if job.call then put("call", "seen") end
local record = cjson.encode(job)
drop("woken_from")
save()
return {text(now), record, redis.call("HLEN", EVENTS), redis.call("HLEN", CANDIDATES)}
