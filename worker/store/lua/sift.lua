-- Which records fit, of many.
--
-- KEYS  records
-- ARGV  1 the layout of records that are read   2 JSON object: equal {field: value}, has {field, ...}, lacks {field, ...}
-- Returns the positions in KEYS of those that fit

local wanted = cjson.decode(ARGV[2])
local names, values = {"v"}, {ARGV[1]}
for name, value in pairs(wanted.equal) do names[#names + 1], values[#values + 1] = name, value end
local first_had = #names + 1
for _, name in ipairs(wanted.has) do names[#names + 1] = name end
local first_lacked = #names + 1
for _, name in ipairs(wanted.lacks) do names[#names + 1] = name end

local function fits(held)
  for n = 1, first_had - 1 do
    if held[n] ~= values[n] then return false end
  end
  for n = first_had, first_lacked - 1 do
    if not held[n] then return false end
  end
  for n = first_lacked, #names do
    if held[n] then return false end
  end
  return true
end

local found = {}
for i = 1, #KEYS do
  if fits(redis.call("HMGET", KEYS[i], unpack(names))) then found[#found + 1] = i end
end
return found
