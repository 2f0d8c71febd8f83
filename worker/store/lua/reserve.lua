-- Count the cost of one POST in the budget, which is one for all shards: unless a cap would be passed.
--
-- KEYS  1 budget hash of the month   2 reserved hash of the month
-- ARGV  1 which attempt: <job id>:<attempt>   2 its cost, millionths   3 version of its record   4 when the claim was
--       granted under which the POST is begun, Unix ms   5 UTC day   6 tenant   7 how long the month is kept, ms
--       8 the caps of the tenant's day, 9 of the month, 10 of the day, millionths ("": there is none)
-- Returns {1 (counted), 2 (a later claim has counted it: this one begins nothing) or 0 (a cap would be passed), which cap
--          ("tenant", "monthly", "daily" or "")}
--
-- The budget hash holds millionths: "month", "<day>", "<day> <tenant>". The reserved hash holds what of it is each
-- attempt's, so that it counts once whoever asks how often: "<millionths> <version> <claim granted at> <day> <tenant>".

local post, cost, ver, since, day, tenant = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]
local held = redis.call("HGET", KEYS[2], post)
local was = {0, 0, 0, day, tenant}
if held then was = {string.match(held, "^(%d+) (%d+) (%d+) (%d+) ?(.*)$")} end
local was_cost, was_ver, was_since, was_day, was_tenant = tonumber(was[1]), tonumber(was[2]), tonumber(was[3]), was[4], was[5]
if held and (was_ver > ver or was_ver == ver and was_since > since) then return {2, ""} end

local function counted(field) return tonumber(redis.call("HGET", KEYS[1], field) or 0) end
local function own(is_same) return held and is_same and was_cost or 0 end
local caps = {
  {"tenant", ARGV[8], day .. " " .. tenant, was_day == day and was_tenant == tenant},
  {"monthly", ARGV[9], "month", true},
  {"daily", ARGV[10], day, was_day == day},
}
for _, cap in ipairs(caps) do
  local name, most, field, is_same = unpack(cap)
  if most ~= "" and counted(field) - own(is_same) + cost > tonumber(most) then return {0, name} end
end

local function add(field, by)
  local sum = math.max(0, counted(field) + by)
  redis.call("HSET", KEYS[1], field, string.format("%.0f", sum))
end
local function add_for(on, whom, by)
  add("month", by)
  add(on, by)
  if whom ~= "" then add(on .. " " .. whom, by) end
end
redis.call("HSET", KEYS[2], post, string.format("%.0f %.0f %.0f %s %s", cost, ver, since, day, tenant))
if held then add_for(was_day, was_tenant, -was_cost) end
add_for(day, tenant, cost)
for _, key in ipairs(KEYS) do redis.call("PEXPIRE", key, ARGV[7]) end
return {1, ""}
