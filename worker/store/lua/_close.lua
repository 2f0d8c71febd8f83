-- What stands, after `_record.lua`, in front of the scripts that close a job.

-- No step says a job is due later than in so long (FARTHEST_MS of due_index.py is more); a try at a notification may be
-- planned for later, but never farther ahead than FARTHEST_TRY_MS: that was planned while the clock was ahead.
local LONGEST_REST_MS, FARTHEST_TRY_MS = 7200000, 18000000

local function is_result_pending() return int("told_ver") < int("ver") end
local function is_manifest_pending() return job.manifest_ver ~= nil and int("manifest_ver") < int("ver") end

-- When the next try at the notification is planned; nil: none is pending.
local function notification_at()
  if not job.notified_ver or int("notified_ver") >= int("ver") or job.notify_dead == job.ver then return nil end
  local ver, at = string.match(job.notify_tries or "", "^(%d+):%d+:%d+:(%d+)$")
  if ver ~= job.ver or tonumber(at) > now + FARTHEST_TRY_MS then return now end
  return tonumber(at)
end

-- When somebody must look at a final job again whose result and manifest are delivered; nil: nothing is left to do.
local function next_look()
  local look_at = int("look_until") > now and now + given.rest_in_ms or nil
  local try_at = notification_at()
  if not try_at then return look_at end
  return math.min(try_at, look_at or try_at, now + LONGEST_REST_MS)
end

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

