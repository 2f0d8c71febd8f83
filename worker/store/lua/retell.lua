-- Have the end of a final job told again, as later than what was told of moves that Redis has lost.
--
-- given  ver (of the record that was looked at), at (of what was told, Unix ms), path, detail
-- Returns {"applied" | "late" (the job has moved on, or is not final) | "missing", record}

if not job then return {"missing"} end
if given.ver ~= int("ver") or not job.final_at then return {"late", cjson.encode(job)} end

local before = job.ver
put("state_at", text(math.max(moved_at(), given.at + 1)))
put("ver", text(int("ver") + 1))
-- the receiver of notifications has heard of this end, and of nothing after it
for _, name in ipairs({"notified_ver", "notify_dead"}) do if job[name] == before then put(name, job.ver) end end
reopen()
save()
note_move(held(), given.path, int("attempt"), given.detail)
return {"applied", cjson.encode(job)}
