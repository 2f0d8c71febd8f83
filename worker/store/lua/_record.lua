-- What stands in front of every script about one job (scripts.py prepends it): its record, and how to change it.
--
-- KEYS  1 record hash      2 due sorted set   3 candidates hash   4 events hash    5 history list
--       6 links string     7 tombstone string   8 deliveries list
--       9 occupied sorted set   10 line sorted set   11 perishing sorted set   12 listed sorted set
--       13 closed sorted set   14 metrics hash   15 awaited sorted set   16 ledger hash   17 ledger index sorted set: the
--       shard's, of all jobs
--       in this order always (keys.py); for the scripts that begin a request, 18 a provider's limits hash
-- ARGV  1 job id   2 now, Unix ms ("": the server's clock)   3 JSON object: the script's named arguments (`given`)
--
-- The fields are those of `layout.py`.
-- A script that puts another state is given its rank: the job's entry in the index of the lists moves with its record.
-- A script changes `job` with put() and drop(), `due_at` with a number, and writes
-- all of it with save() at its end: Lua does not roll back, so nothing may fail after the first write.

local JOB, DUE, CANDIDATES, EVENTS, HISTORY, LINKS, TOMBSTONE, DELIVERIES, OCCUPIED, LINE, PERISHING, LISTED, CLOSED, METRICS,
  AWAITED, LEDGER, LEDGER_INDEX, LIMITS =
  unpack(KEYS)
local job_id, now, given = ARGV[1], tonumber(ARGV[2]), cjson.decode(ARGV[3])
local MORTAL = {JOB, HISTORY, LINKS, EVENTS, CANDIDATES, DELIVERIES}
local BEFORE_MOVES, MOST_MOVES = 2, 200
local RANK_STEP = 1e13  -- more than any instant
local WAKE_MS, LONGEST_LEASE_MS = 60000, 900000
local MOST_REQUESTS, MOST_REQUEST_BYTES = 8, 262144
local job, due_at, reopened
local changed, dropped, left = {}, {}, {}

local KINDS = {
  "hash", "zset", "hash", "hash", "list", "string", "string", "list", "zset", "zset", "zset", "zset", "zset", "hash", "zset",
  "hash", "zset", "hash",
}
for i, kind in ipairs(KINDS) do
  local held = KEYS[i] and redis.call("TYPE", KEYS[i]).ok or "none"
  if held ~= "none" and held ~= kind then
    return redis.error_reply("WRONGTYPE key " .. i .. " of job " .. job_id .. " is a " .. held .. ", not a " .. kind)
  end
end
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local flat = redis.call("HGETALL", JOB)
if #flat > 0 then
  job = {}
  for i = 1, #flat, 2 do job[flat[i]] = flat[i + 1] end
  if job.v ~= given.reads then
    return redis.error_reply("LAYOUT record of job " .. job_id .. ": layout " .. (job.v or "without a number") .. ", not " .. given.reads)
  end
end

local function text(number) return string.format("%.0f", number) end
local function int(name) return (assert(tonumber(job[name] or 0), "field " .. name .. " is no number")) end
local function listed(words, word) return string.find("," .. words .. ",", "," .. word .. ",", 1, true) ~= nil end
local function held() return job.error_stage and job.state .. "(" .. job.error_stage .. ")" or job.state end
-- A lease that ends farther ahead than any step's was granted while the clock was ahead, and is void.
local function leased()
  local ends = int("lease_until")
  return job.lease ~= nil and ends > now and ends - now <= LONGEST_LEASE_MS
end
local function bound(attempt) return job["request_id." .. attempt] end

-- When a move that happens now is said to have happened: never before the last one, whatever the clock was set to.
-- Results are ordered by it (messaging/result.lua).
local function moved_at() return math.max(now, int("state_at")) end

local function put(name, value)
  if job[name] ~= value then job[name], changed[name], dropped[name] = value, value, nil end
end

local function drop(...)
  for _, name in ipairs({...}) do
    if job[name] ~= nil then job[name], changed[name], dropped[name] = nil, nil, true end
  end
end

-- Put the job into another state, and forget what was true only of the one before.
local function enter(state, path)
  put("state", state)
  put("state_at", text(moved_at()))
  put("path", path)
  put("ver", text(int("ver") + 1))
  drop("error_stage", "error_code", "error_message", "error_provider_code", "waiting_for", "waits")
  drop("unusable", "unusable_at")
  drop("failures", "nudges", "look_until", "final_at", "manifest_ver")
  drop("kept_in", "unsent_by")  -- of a POST under way
  drop("failing_since")  -- of a link past its end
end

-- Open a closed job again; whoever holds a lease looks first, else it is due now.
local function reopen()
  reopened = reopened or job.closed_at ~= nil
  drop("closed_at")
  if not leased() then due_at = now end
end

-- A message came that somebody must look at: `call` stays until a step has looked. Returns whether the job is due.
local function wake()
  put("call", "new")
  put("woken_at", text(now))
  drop("nudges")
  reopen()
  return not leased()
end

-- A callback came that tells nothing new: one look a minute. `woken_at` may lie ahead: a look that is promised, which
-- save() keeps whatever due time a step sets meanwhile. Returns whether the job is due for it now.
local function wake_once_a_minute()
  local woken_at = int("woken_at")
  if woken_at > now + WAKE_MS then woken_at = 0 end  -- by a clock that was ahead
  if woken_at > now then return false end
  if woken_at + WAKE_MS <= now then return wake() end
  local is_closed = job.closed_at ~= nil
  put("woken_at", text(woken_at + WAKE_MS))
  if is_closed then reopen() end
  due_at = is_closed and woken_at + WAKE_MS or tonumber(redis.call("ZSCORE", DUE, job_id) or woken_at + WAKE_MS)
  return false
end

-- Where the job stands in a line of its provider ("<op>:<since>"): a place once taken is kept, unless the job may now
-- stand before all others, *since* 0. Entries of the line sort by it, so they hold it with all its digits.
local function place_for(op, since)
  local is_kept = job.place and string.find(job.place, op .. ":", 1, true) == 1 and since > 0
  return is_kept and job.place or op .. ":" .. string.format("%015.0f", since)
end

local function entry_at(place) return job.provider .. ":" .. place .. ":" .. job_id end

local function leave_line()
  if job.place then left[#left + 1] = entry_at(job.place) end
  drop("place")
end

-- Facts are kept under their own attempt, a request id once, progress only forwards.
local function is_news(name, value)
  if string.sub(name, 1, 11) == "request_id." then return job[name] == nil end
  if name == "progress" then return tonumber(value) > int("progress") end
  return job[name] ~= value
end

local function keep(attempt, facts)
  local is_current, news = attempt == int("attempt"), false
  for name, value in pairs(facts) do
    local kept = (is_current or string.find(name, ".", 1, true)) and name or name == "usage" and "usage." .. attempt
    if kept and is_news(kept, value) then
      put(kept, value)
      news = true
    end
  end
  if news then
    put("ver", text(int("ver") + 1))
    if job.final_at then reopen() end
  end
  return news
end

-- Where the lists have the job: by its state, and of one state the newest first.
local function list_at(rank) redis.call("ZADD", LISTED, text(rank * RANK_STEP + int("accepted_at")), job_id) end

local function save()
  local woken_at = int("woken_at")
  if due_at and now < woken_at and woken_at < due_at and not leased() then due_at = woken_at end
  local fields, names = {}, {}
  for name, value in pairs(changed) do
    fields[#fields + 1], fields[#fields + 2] = name, value
  end
  for name in pairs(dropped) do names[#names + 1] = name end
  if #fields > 0 then redis.call("HSET", JOB, unpack(fields)) end
  if #names > 0 then redis.call("HDEL", JOB, unpack(names)) end
  if due_at then redis.call("ZADD", DUE, text(due_at), job_id) end
  if changed.state then list_at(given.rank) end
  if job.place then redis.call("ZADD", LINE, 0, entry_at(job.place)) end
  if #left > 0 then redis.call("ZREM", LINE, unpack(left)) end
  if reopened then
    for _, key in ipairs(MORTAL) do redis.call("PERSIST", key) end
    redis.call("DEL", TOMBSTONE)
    redis.call("ZREM", CLOSED, job_id)
  end
end

-- A key written for a closed job dies with its record.
local function expire_with_record(key)
  if job.closed_at then redis.call("PEXPIRE", key, math.max(1, redis.call("PTTL", JOB))) end
end

-- Count for the metrics; a figure fails no script, and is written when all else is.
local function tally(...) redis.pcall("HINCRBY", METRICS, table.concat({...}, "|"), 1) end

-- Write a move into the job's timeline, or an act that moves nothing (from what it holds to the same); an operator's with
-- who did it (`given.by`), and why (`given.reason`).
local function note_move(source, path, attempt, detail)
  local who = given.by and path .. ":" .. given.by or path
  local why = given.reason and detail .. "\t" .. given.reason or detail
  local line = table.concat({text(now), source, held(), who, text(attempt), why}, " ")
  if redis.call("RPUSHX", HISTORY, line) > BEFORE_MOVES + MOST_MOVES then
    -- Redis takes out by value: the oldest move is made one that no other is
    redis.call("LSET", HISTORY, BEFORE_MOVES, "")
    redis.call("LREM", HISTORY, -1, "")
  end
  if source ~= held() then
    tally("move", source, held(), path)
    tally("entered", job.provider, job.state)
  end
end

-- Write what a new job's history begins with; nothing but the record may have been written before.
local function begin_history(spec, request)
  -- an expired job's last keys may outlive its record by a moment
  redis.call("DEL", HISTORY, LINKS)
  redis.call("RPUSH", HISTORY, spec, request)
end

-- Keep a caller's Celery request, a line of JSON, if it is the first, or hangs something else on the job than those kept
-- before: it begins with a digest of that (`capture` in messaging/results.py). Whether it was kept.
local function keep_request(request)
  local kept = redis.call("LINDEX", HISTORY, 1)
  if not kept then return false end
  if kept ~= "" then
    local hung = string.match(request, '^{"canvas":"%x+"')
    local _, lines = string.gsub(kept, "\n", "")
    if not hung or string.find("\n" .. kept, "\n" .. hung, 1, true) or lines + 1 >= MOST_REQUESTS then return false end
    if #kept + #request > MOST_REQUEST_BYTES then return false end
    request = kept .. "\n" .. request
  end
  redis.call("LSET", HISTORY, 1, request)
  return true
end

