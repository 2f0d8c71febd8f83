-- End a claim without a move: say when to look again.
--
-- given  attempt, lease, due_in_ms, facts {name: value}, notes {name: value}
--        and, for a job that waits for its turn: waits {op, since (0: before all others)};
--        for one whose copy has failed: behind (it queues behind those that were not tried, see `urgent`)
-- Returns {"applied" | "late" (the lease is no longer the current one: facts kept, due untouched) | "missing",
--          record, due now: 1 or 0}

if not job then return {"missing"} end
local news = keep(given.attempt, given.facts)
if job.lease ~= given.lease then
  save()
  return {"late", cjson.encode(job), 0}
end

for name, value in pairs(given.notes) do put(name, value) end
drop("lease", "lease_until", "leased_at", "nudges")
if not given.notes.waits then drop("waits") end
if given.waits then
  local place = place_for(given.waits.op, given.waits.since)
  if place ~= job.place then leave_line() end
  put("place", place)
else
  leave_line()
end
-- what came since the claim has not been looked at
if job.call == "seen" then drop("call") end
local at_once = job.call ~= nil or (news and job.final_at ~= nil)
due_at = at_once and now or now + given.due_in_ms
save()
local BEHIND, link_end = 1e14, given.behind and redis.call("ZSCORE", PERISHING, job_id)
if link_end and tonumber(link_end) < BEHIND then redis.call("ZINCRBY", PERISHING, text(BEHIND), job_id) end
return {"applied", cjson.encode(job), at_once and 1 or 0}
