-- What stands, after `_record.lua`, in front of the scripts that change the standing of an attempt's money: the record's
-- field and the sums that it is part of are written together, or not at all.
--
-- An attempt's money is the field money.<attempt>: "<standing> <millionths of USD> <UTC day> <ms of video> <basis>".
-- A row of the sums is "<UTC day>|<provider>|<model>|<tenant>|<standing>" -> "<jobs> <ms> <millionths> <jobs without a
-- price>"; a row of nothing is not kept. LEDGER_INDEX has every row by its name, that is by day, and for each attempt of
-- which nobody knows whether it is paid "unknown:<day>|<job id>|<attempt>". FREE money is in no cap.

local FREE, UNSETTLED, UNPRICED = "returned", "unknown", "unknown"
local DAY_MS, KEPT_DAYS, MOST_FORGOTTEN = 86400000, 400, 50
local LONGEST_AMOUNT = 1e12  -- a million USD: no attempt costs more, and all sums stay exact
local differences, unsettled, has_counted_changed = {}, {}, false

local function read_money(line)
  local standing, amount, day, ms, basis = string.match(line or "", "^(%l+) (%d+) (%d+) (%d+) ([%l_]+)$")
  if not standing then return nil end
  return {standing = standing, amount = tonumber(amount), day = tonumber(day), ms = tonumber(ms), basis = basis}
end

local function money_of(attempt) return read_money(job["money." .. attempt]) end

local function counted(money) return money and money.standing ~= FREE and money.amount or 0 end

local function add_to_sums(attempt, money, sign)
  local row = table.concat({text(money.day), job.provider, job.model, job.tenant or "", money.standing}, "|")
  local sums = differences[row] or {0, 0, 0, 0}
  local is_unpriced = money.basis == UNPRICED and 1 or 0
  for i, by in ipairs({1, money.ms, money.amount, is_unpriced}) do sums[i] = sums[i] + sign * by end
  differences[row] = sums
  if money.standing == UNSETTLED then
    unsettled[table.concat({"unknown:" .. text(money.day), job_id, text(attempt)}, "|")] = sign > 0
  end
end

-- Have the attempt's money be *money*, in the record and in the sums.
local function put_money(attempt, money)
  local before = money_of(attempt)
  money.amount = math.min(money.amount, LONGEST_AMOUNT)
  if before then add_to_sums(attempt, before, -1) end
  add_to_sums(attempt, money, 1)
  put("money." .. attempt, table.concat({money.standing, text(money.amount), text(money.day), text(money.ms), money.basis}, " "))
  if counted(before) ~= counted(money) then has_counted_changed = true end
end

-- The money of an attempt whose POST this record does not know: by the quote, on the day the POST was begun.
local function quoted(standing)
  local quote = job.cost and cjson.decode(job.cost) or {}
  return {
    standing = standing,
    amount = math.floor((tonumber(quote.amount) or 0) * 1e6 + 0.5),
    day = math.floor((tonumber(job.begun_at or "") or now) / DAY_MS),
    ms = (tonumber(string.match(job.kind or "", "^(%d+)/") or 0)) * 1000,
    basis = quote.amount and quote.basis or UNPRICED,
  }
end

-- Move the attempt's money to another standing. One without money gets it by the quote, unless it would be FREE.
local function stand(attempt, standing)
  local money = money_of(attempt)
  if not money then
    if standing ~= FREE then put_money(attempt, quoted(standing)) end
  elseif money.standing ~= standing then
    money.standing = standing
    put_money(attempt, money)
  end
end

-- Put what the provider itself says that the attempt cost in the place of the price.
local function bill(attempt, amount, basis)
  local money = money_of(attempt)
  if money and (money.amount ~= amount or money.basis ~= basis) then
    money.amount, money.basis = amount, basis
    put_money(attempt, money)
  end
end

-- Whether the sums have counted a job that ended then, though there is neither record nor tombstone of it any more
-- (which a job has for *known_ms*): they have been kept since before.
local function was_counted(ended_at, known_ms)
  local since = tonumber(redis.call("HGET", LEDGER, "since") or now)
  return ended_at >= since and ended_at + known_ms < now
end

local function forget_old_rows()
  local oldest = math.floor(now / DAY_MS) - KEPT_DAYS
  for _, first in ipairs({"", "unknown:"}) do
    local old = redis.call("ZRANGEBYLEX", LEDGER_INDEX, "[" .. first, "(" .. first .. text(oldest), "LIMIT", 0, MOST_FORGOTTEN)
    if #old > 0 then
      redis.call("ZREM", LEDGER_INDEX, unpack(old))
      redis.call("HDEL", LEDGER, unpack(old))
    end
  end
end

-- Write the sums; after save().
local function save_money()
  local is_new_row = false
  for row, by in pairs(differences) do
    local held, sums = redis.call("HGET", LEDGER, row), {0, 0, 0, 0}
    if held then
      sums = {}
      for number in string.gmatch(held, "%d+") do sums[#sums + 1] = tonumber(number) end
    end
    for i = 1, 4 do sums[i] = math.max(0, sums[i] + by[i]) end
    if sums[1] + sums[2] + sums[3] + sums[4] == 0 then
      redis.call("HDEL", LEDGER, row)
      redis.call("ZREM", LEDGER_INDEX, row)
    else
      redis.call("HSET", LEDGER, row, string.format("%.0f %.0f %.0f %.0f", unpack(sums)))
      if not held then
        redis.call("ZADD", LEDGER_INDEX, 0, row)
        is_new_row = true
      end
    end
  end
  for entry, is_added in pairs(unsettled) do
    if is_added then redis.call("ZADD", LEDGER_INDEX, 0, entry) else redis.call("ZREM", LEDGER_INDEX, entry) end
  end
  if is_new_row then
    redis.call("HSETNX", LEDGER, "since", text(now))
    forget_old_rows()
  end
end

