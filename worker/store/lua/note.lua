-- Write internal fields of a record, and the caller's Celery request if none was saved.
--
-- given  notes {name: value}
-- ARGV   4 the saved Celery request, or ""
-- Returns 1 if there is a record (and, with a request, it was the first), else 0

if not job then return 0 end

for name, value in pairs(given.notes) do put(name, value) end
save()
if ARGV[4] == "" then return 1 end
local is_first = redis.call("SETNX", TASK, ARGV[4])
if is_first == 1 then expire_with_record(TASK) end
return is_first
