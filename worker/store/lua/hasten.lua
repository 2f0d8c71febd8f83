-- Make an open job due now because an operator asks for it, and keep in its timeline who did.
--
-- given  detail
-- Returns {"applied" | "late" (it is closed: nothing is looked at any more) | "missing", record}

if not job then return {"missing"} end
if job.closed_at then return {"late", cjson.encode(job)} end

if not leased() then  -- else a step is at it just now
  drop("nudges")
  due_at = now
end
save()
note_move(held(), "operator", int("attempt"), given.detail)
return {"applied", cjson.encode(job)}
