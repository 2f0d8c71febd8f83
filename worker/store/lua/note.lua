-- Write internal fields of a record, and keep the caller's Celery request (`keep_request`).
--
-- given  notes {name: value}
-- ARGV   4 the Celery request, or ""
-- Returns 1 if there is a record (and a request, if given, was kept), else 0

if not job then return 0 end

for name, value in pairs(given.notes) do put(name, value) end
save()
return (ARGV[4] == "" or keep_request(ARGV[4])) and 1 or 0
