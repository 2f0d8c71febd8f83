-- Which records fit, of many.
--
-- KEYS  records
-- ARGV  1 the layout of records that are read   2 JSON object: equal {field: value}, has {field, ...}, lacks {field, ...}
-- Returns the positions in KEYS of those that fit

local wanted = cjson.decode(ARGV[2])
local names, checks = {"v"}, {function(value) return value == ARGV[1] end}
local function check(name, is_good)
  names[#names + 1], checks[#checks + 1] = name, is_good
end
for name, value in pairs(wanted.equal) do check(name, function(held) return held == value end) end
for _, name in ipairs(wanted.has) do check(name, function(held) return held end) end
for _, name in ipairs(wanted.lacks) do check(name, function(held) return not held end) end

local found = {}
for i, record in ipairs(KEYS) do
  local held, fits = redis.call("HMGET", record, unpack(names)), true
  for n, is_good in ipairs(checks) do
    if not is_good(held[n]) then
      fits = false
      break
    end
  end
  if fits then found[#found + 1] = i end
end
return found
