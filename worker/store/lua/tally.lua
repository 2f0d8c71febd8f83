-- Count records by some of their fields.
--
-- KEYS  records
-- ARGV  1 the layout of records that are read   2 field whose number must be ARGV[3] or more   3 that number
--       4.. the fields that they are counted by
-- Returns {values, joined by the unit separator (an absent one is empty), how many, position in KEYS of the first, ...}

local SEPARATOR = string.char(31)
local names, counted, order = {"v", ARGV[2]}, {}, {}
for n = 4, #ARGV do names[#names + 1] = ARGV[n] end
for i = 1, #KEYS do
  local held = redis.call("HMGET", KEYS[i], unpack(names))
  if held[1] == ARGV[1] and tonumber(held[2] or 0) >= tonumber(ARGV[3]) then
    local values = {}
    for n = 3, #names do values[#values + 1] = held[n] or "" end
    local key = table.concat(values, SEPARATOR)
    if not counted[key] then
      counted[key] = {0, i}
      order[#order + 1] = key
    end
    counted[key][1] = counted[key][1] + 1
  end
end
local told = {}
for _, key in ipairs(order) do
  told[#told + 1] = key
  told[#told + 1] = counted[key][1]
  told[#told + 1] = counted[key][2]
end
return told
