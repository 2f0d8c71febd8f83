-- Record a try at the notification of a final job, and say when to look again; close the job when nothing is left.
--
-- given  ver (the version that was told), outcome: "delivered", "again", "dead" (there will be no other try),
--        "manual" (not taken, and changes no schedule), "held" (nothing was sent: look again in hold_ms)
--        tries (the field `notify_tries`, for "again"), hold_ms, most_kept, retry_ms (until what else is pending is tried),
--        rest_in_ms, retention_ms, tombstone_ms, and the lease under which it was done, if any
--        for an operator's: detail (of its line in the timeline)
-- ARGV   4 the try, JSON, or "" for "held"
-- Returns {"applied" | "late" (the record has moved on: another notification is pending) | "missing", record}

if not job then return {"missing"} end

local is_current = given.ver == int("ver") and job.final_at ~= nil
local is_ours = not leased() or job.lease == given.lease
local has_changed = is_current and job.notified_ver ~= nil

if has_changed and given.outcome == "delivered" then
  put("notified_ver", job.ver)
  drop("notify_tries", "notify_dead")
elseif has_changed and given.outcome == "dead" then
  put("notify_dead", job.ver)
  drop("notify_tries")
elseif has_changed and given.outcome == "again" then
  put("notify_tries", given.tries)
end

local is_closing = false
if not job.closed_at and job.final_at and is_ours then
  local is_settling = is_result_pending() or is_manifest_pending()
  if given.outcome == "held" then
    if not is_settling and not job.call then
      drop("nudges")
      due_at = now + given.hold_ms
    end
  else
    local look_at = next_look()
    local has_callbacks = job.call ~= nil or redis.call("HLEN", CANDIDATES) > 0
    if has_callbacks or not is_current then look_at = now elseif is_settling then look_at = now + given.retry_ms end
    if look_at then
      drop("lease", "lease_until", "leased_at", "nudges")
      due_at = look_at
    else
      is_closing = true
    end
  end
end
if is_closing then close() else save() end
if ARGV[4] ~= "" then
  redis.call("RPUSH", DELIVERIES, ARGV[4])
  redis.call("LTRIM", DELIVERIES, -given.most_kept, -1)
  expire_with_record(DELIVERIES)
end
if given.detail then note_move(held(), "operator", int("attempt"), given.detail) end
return {is_current and "applied" or "late", cjson.encode(job)}
