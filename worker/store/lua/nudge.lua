-- Move due jobs on by their nudge interval, which doubles until the job is serviced. No lease is taken.
--
-- KEYS  1 due sorted set   2 counters hash   3.. records of the jobs, in the order of the ids
-- ARGV  1 now, Unix ms ("": the server's clock)   2 first interval, ms   3 longest interval, ms
--       4 the layout of records that may be touched
--       5 for what messages wait in their queues, comma-joined: states, "call" for callbacks
--       6 the farthest due time that a step says, ms from now: what lies beyond is void, and due
--       7 the counter of entries without an open record   8.. job ids
-- Returns {{job id, state, provider, was a callback stored that nobody has looked at: 1 or 0, are the result and the
--         manifest of this version delivered: 1 or 0, is it a try at its notification that it is due for: 1 or 0}, ...}
--         of those that were due, but for those whose own first message may still wait;
--         an entry without an open record is removed and counted

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function waits(word) return string.find("," .. ARGV[5] .. ",", "," .. word .. ",", 1, true) ~= nil end

-- Whether no later try at the notification of that version is planned (`_close.lua`).
local function is_try_due(ver, tries)
  local tried, at = string.match(tries or "", "^(%d+):%d+:%d+:(%d+)$")
  return tried ~= ver or tonumber(at) <= now or tonumber(at) > now + 18000000
end

local nudged, moved, void, seen = {}, {}, {}, {}
local due = redis.call("ZMSCORE", KEYS[1], unpack(ARGV, 8))
for i = 3, #KEYS do
  local job_id, due_at = ARGV[i + 5], tonumber(due[i - 2] or math.huge)
  local is_due = due_at <= now or due_at < math.huge and due_at > now + ARGV[6]
  if is_due and not seen[job_id] then
    seen[job_id] = true
    local state, provider, nudges, closed_at, version, state_at, call, ver, told, manifest, notified, tries, dead =
      unpack(redis.call("HMGET", KEYS[i], "state", "provider", "nudges", "closed_at", "v", "state_at", "call",
        "ver", "told_ver", "manifest_ver", "notified_ver", "notify_tries", "notify_dead"))
    if state and version ~= ARGV[4] then
      -- of a layout that is not known here: the Callsheet that wrote it sweeps, too
    elseif state and not closed_at then
      local interval = math.min(tonumber(ARGV[3]), ARGV[2] * 2 ^ math.min(30, nudges or 0))
      moved[#moved + 1], moved[#moved + 2] = string.format("%.0f", now + interval), job_id
      redis.call("HINCRBY", KEYS[i], "nudges", 1)
      -- whoever moves a job that is due at once, or stores a callback, nudges it
      local was_sent = call == "new" and waits("call") or due_at == tonumber(state_at) and waits(state)
      if nudges or not was_sent then
        local is_delivered = told == ver and (not manifest or manifest == ver)
        local is_wanted = notified and notified ~= ver and dead ~= ver and not call
        local is_turn = is_wanted and is_delivered and is_try_due(ver, tries)
        nudged[#nudged + 1] = {job_id, state, provider, call and 1 or 0, is_delivered and 1 or 0, is_turn and 1 or 0}
      end
    else
      void[#void + 1] = job_id
    end
  end
end
if #moved > 0 then redis.call("ZADD", KEYS[1], unpack(moved)) end
if #void > 0 then
  redis.call("ZREM", KEYS[1], unpack(void))
  redis.call("HINCRBY", KEYS[2], ARGV[7], #void)
  redis.call("HSET", KEYS[2], ARGV[7] .. "@", string.format("%.0f", now))
end
return nudged
