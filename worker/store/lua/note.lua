-- Write internal fields of a record, and the caller's Celery request if none was saved.
--
-- given  notes {name: value}
-- ARGV   4 the saved Celery request, or ""
-- Returns 1 if there is a record (and, with a request, it was the first), else 0

if not job then return 0 end

for name, value in pairs(given.notes) do put(name, value) end
save()
return (ARGV[4] == "" or keep_request(ARGV[4])) and 1 or 0
