-- Have the budget count what a job's record says of its attempts; or give back what a claim has reserved for a POST that
-- was not begun. Older versions of the record, and what another claim has reserved, change nothing.
--
-- KEYS  1 budget hash of the month   2 reserved hash of the month (see `reserve`)
-- ARGV  1 version of the record   2 when the claim was granted that gives back, Unix ms ("": the record speaks)
--       3 how long the month is kept, ms   4.. for each attempt: <job id>:<attempt>, millionths, UTC day, tenant
-- Returns how many attempts count otherwise now

local ver, changed = tonumber(ARGV[1]), 0

local function add(field, by)
  local sum = math.max(0, tonumber(redis.call("HGET", KEYS[1], field) or 0) + by)
  redis.call("HSET", KEYS[1], field, string.format("%.0f", sum))
end
local function add_for(day, tenant, by)
  add("month", by)
  add(day, by)
  if tenant ~= "" then add(day .. " " .. tenant, by) end
end

for i = 4, #ARGV, 4 do
  local post, amount, day, tenant = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3]
  local held = redis.call("HGET", KEYS[2], post)
  local was_amount, was_ver, was_since, was_day, was_tenant = string.match(held or "", "^(%d+) (%d+) (%d+) (%d+) ?(.*)$")
  local is_ours
  if not held then
    is_ours = ARGV[2] == "" and amount > 0
  elseif ARGV[2] == "" then
    is_ours = tonumber(was_ver) <= ver
  else
    is_ours = tonumber(was_ver) == ver and was_since == ARGV[2]
  end
  if is_ours then
    redis.call("HSET", KEYS[2], post, string.format("%.0f %.0f %s %s %s", amount, ver, was_since or "0", day, tenant))
    if held then add_for(was_day, was_tenant, -tonumber(was_amount)) end
    add_for(day, tenant, amount)
    if not held or tonumber(was_amount) ~= amount or was_day ~= day then changed = changed + 1 end
  end
end
for _, key in ipairs(KEYS) do redis.call("PEXPIRE", key, ARGV[3]) end
return changed
