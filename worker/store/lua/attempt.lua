-- Begin another attempt at a job that has ended without a video. The only script that numbers attempts.
--
-- given  attempt (the one that ended), sources (held words that permit it), unpaid (of these: nothing was taken),
--        pay_again, state (the new attempt's), rank, path, detail, max_old_events
-- Returns {"applied" | "late" (moved on, or an earlier one) | "asking" (a callback has yet to be looked at)
--          | "paid" (an attempt may have been, and pay_again was not given) | "missing", record}

if not job then return {"missing"} end
local ended, number = held(), int("attempt")
local function answer(word) return {word, cjson.encode(job)} end

if given.attempt ~= number or not listed(given.sources, ended) then return answer("late") end
if job.call or redis.call("HLEN", CANDIDATES) > 0 then return answer("asking") end
local maybe_paid = not listed(given.unpaid, ended)
for attempt = 1, number do
  local before = job["ended." .. attempt]
  maybe_paid = maybe_paid or bound(attempt) ~= nil or (before ~= nil and not listed(given.unpaid, before))
end
if maybe_paid and not given.pay_again then return answer("paid") end

put("ended." .. number, ended)
for _, name in ipairs({"usage", "begun_at", "submitted_at"}) do
  if job[name] then put(name .. "." .. number, job[name]) end
end
drop("usage", "begun_at", "submitted_at", "progress", "polls", "generated_by", "link_expires_at", "videos", "try_no")
drop("ignored", "differs", "failing_since", "unusable", "unusable_at", "refused_at")
drop("error_stage", "error_code", "error_message", "error_provider_code")
drop("waiting_for", "waits", "failures", "nudges", "contradictions")
drop("final_at", "look_until", "manifest_ver", "lease", "lease_until", "leased_at")
put("attempt", text(number + 1))
put("state", given.state)
put("state_at", text(moved_at()))
put("path", given.path)
put("ver", text(int("ver") + 1))
reopen()
redis.call("DEL", LINKS)
keep_latest_events(given.max_old_events)
save()
note_move(ended, given.path, number + 1, given.detail)
return {"applied", cjson.encode(job)}
