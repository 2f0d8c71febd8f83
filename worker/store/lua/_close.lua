-- What stands, after `_record.lua`, in front of the scripts that close a job.

-- Write the job as closed: kept for `given.retention_ms`, its tombstone for `given.tombstone_ms`.
local function close()
  drop("lease", "lease_until", "leased_at", "nudges")
  leave_line()
  put("closed_at", text(now))
  local tombstone = {tombstone = "1"}
  local kept = "v,state,ver,attempt,provider,model,spec_sha256,accepted_at,state_at,closed_at,told_ver,videos,ignored,differs,"
    .. "error_stage,error_code,error_message,error_provider_code"
  for name, value in pairs(job) do
    if listed(kept, name) or string.sub(name, 1, 11) == "request_id." then tombstone[name] = value end
  end
  save()
  redis.call("ZREM", DUE, job_id)
  redis.call("SET", TOMBSTONE, cjson.encode(tombstone), "PX", given.tombstone_ms)
  redis.call("ZADD", CLOSED, text(now + given.retention_ms), job_id)
  for _, key in ipairs(MORTAL) do redis.call("PEXPIRE", key, given.retention_ms) end
end

