-- Mark outputs of a final job as delivered, and close it when nothing is left to do.
--
-- given  ver (the outputs were made of that version), outputs ("result", "manifest", both comma-joined, or "": it was
--        looked at again),
--        rest_in_ms, retention_ms, tombstone_ms, and the lease under which it was done, if any
-- Returns {"applied" | "repeat" (closed already) | "late" (the record has moved on: still pending) | "missing", record}

if not job then return {"missing"} end
local function answer(word)
  save()
  return {word, cjson.encode(job)}
end
local function release(at)
  if given.lease and job.lease and job.lease ~= given.lease then return end
  drop("lease", "lease_until", "leased_at", "nudges")
  due_at = at
end

if given.ver ~= int("ver") or not job.final_at then
  -- a manifest is written over the one before: an older one may just have replaced a newer
  if listed(given.outputs, "manifest") and int("manifest_ver") > given.ver then
    put("manifest_ver", "0")
    reopen()
  end
  return answer("late")
end
if job.closed_at then return answer("repeat") end

if listed(given.outputs, "result") then put("told_ver", job.ver) end
if listed(given.outputs, "manifest") and job.manifest_ver then put("manifest_ver", job.ver) end
if given.outputs == "" and job.call == "seen" then drop("call") end

if is_result_pending() or is_manifest_pending() then
  if not leased() then due_at = now end
  return answer("applied")
end
if job.call or redis.call("HLEN", CANDIDATES) > 0 then
  -- without a lease it has been told already when to look at them
  if job.lease then release(now) end
  return answer("applied")
end
local look_at = next_look()
if look_at then
  release(look_at)
  return answer("applied")
end

close()
return {"applied", cjson.encode(job)}
