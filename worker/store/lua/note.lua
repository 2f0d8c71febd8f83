-- Write internal fields of a record, and keep the caller's Celery request (`keep_request`).
--
-- given  notes {name: value}, and, each only where it applies: standing (of the money of money_attempt; a change is told
--        like any other news)
-- ARGV   4 the Celery request, or ""
-- Returns {1 if there is a record (and a request, if given, was kept), else 0; record, or ""; has it changed what the caps
--          count: 1 or 0}

if not job then return {0, "", 0} end

for name, value in pairs(given.notes) do put(name, value) end
local before = given.standing and job["money." .. given.money_attempt]
if given.standing then stand(given.money_attempt, given.standing) end
if given.standing and job["money." .. given.money_attempt] ~= before then
  put("ver", text(int("ver") + 1))
  if job.final_at then reopen() end
end
save()
save_money()
return {(ARGV[4] == "" or keep_request(ARGV[4])) and 1 or 0, cjson.encode(job), has_counted_changed and 1 or 0}
