-- What stands, after `_record.lua`, in front of the scripts that deal with stored callbacks.
--
-- An event's value is a line "<terminal: 1 or 0> <attempt> <stored at> <request id as JSON>[ denied]", then the event as it
-- was given; denied: a GET with our key did not know that request of an older attempt.

local function event_head(value)
  local terminal, attempt, at, request_id, mark = string.match(value, '^(%d) (%d+) (%d+) (".-") ?(%a*)\n')
  return {is_terminal = terminal == "1", attempt = tonumber(attempt), at = tonumber(at), request_id = request_id,
    is_denied = mark == "denied"}
end

local function head_of(event)
  local words = {event.is_terminal and "1" or "0", text(event.attempt), text(event.at), event.request_id}
  return table.concat(words, " ") .. (event.is_denied and " denied" or "") .. "\n"
end

local function events()
  local found, all = {}, redis.call("HGETALL", EVENTS)
  for i = 1, #all, 2 do found[all[i]] = event_head(all[i + 1]) end
  return found
end

-- Whether a callback is kept that says this attempt has ended, and that nothing has denied yet.
local function has_terminal_event(attempt)
  for _, event in pairs(events()) do
    if event.is_terminal and event.attempt == attempt then return true end
  end
  return false
end

-- Make room for an event of an older attempt, which is kept once for each request that it names: whether it is to be kept.
-- Only those of attempts whose request is not known take one of the places; without a free one, a denied one gives way, and
-- nil says that there is none: each may be the true one.
local function make_room_for_older(event, most)
  local taken, denied, denied_at, same = 0, nil, math.huge, nil
  for name, stored in pairs(events()) do
    if stored.attempt == event.attempt and stored.request_id == event.request_id then same = {name, stored} end
    if stored.attempt ~= int("attempt") and not bound(stored.attempt) then
      taken = taken + 1
      local is_first = stored.at < denied_at or stored.at == denied_at and name < (denied or "")
      if stored.is_denied and is_first then denied, denied_at = name, stored.at end
    end
  end
  if same then
    if same[2].is_terminal or not event.is_terminal then return false end
    event.is_denied = same[2].is_denied
    redis.call("HDEL", EVENTS, same[1])
  elseif taken >= most and not bound(event.attempt) then
    if not denied then return nil end
    redis.call("HDEL", EVENTS, denied)
  end
  return true
end

-- Keep an event; without room for one of the current attempt, in the place of that attempt's oldest one. Those of other
-- attempts have places of their own. False: it cannot be kept.
local function store_event(fingerprint, given_event, body, max_events, max_of_older)
  local event = {is_terminal = given_event.is_terminal, attempt = given_event.attempt, at = now,
    request_id = cjson.encode(given_event.request_id)}
  if event.attempt ~= int("attempt") then
    local is_wanted = make_room_for_older(event, max_of_older)
    if not is_wanted then return is_wanted == false end
  else
    local oldest, oldest_at, of_current = nil, math.huge, 0
    for name, stored in pairs(events()) do
      if stored.attempt == event.attempt then
        of_current = of_current + 1
        if stored.at < oldest_at then oldest, oldest_at = name, stored.at end
      end
    end
    if of_current >= max_events then redis.call("HDEL", EVENTS, oldest) end
  end
  redis.call("HSET", EVENTS, fingerprint, head_of(event) .. body)
  return true
end

-- Forget the attempt's events about requests other than *request_id*, or only those about it (`is_own`).
-- Returns whether a terminal one about it was there.
local function forget_events(attempt, request_id, is_own)
  local own, was_terminal = cjson.encode(request_id), false
  for fingerprint, event in pairs(events()) do
    if event.attempt == attempt then
      if (event.request_id == own) == is_own then redis.call("HDEL", EVENTS, fingerprint) end
      was_terminal = was_terminal or (event.request_id == own and event.is_terminal)
    end
  end
  return was_terminal
end

-- Whether a request id that only callbacks have named may be kept, and which denied one then gives way to it.
local function has_candidate_room(request_id, most)
  if redis.call("HEXISTS", CANDIDATES, request_id) == 1 then return true end
  local all, denied, denied_at = redis.call("HGETALL", CANDIDATES), nil, math.huge
  for i = 1, #all, 2 do
    local at = tonumber(string.match(all[i + 1], "^(%d+) denied$") or math.huge)
    if at < denied_at or (at == denied_at and at < math.huge and all[i] < denied) then denied, denied_at = all[i], at end
  end
  if #all / 2 < most then return true end
  return denied ~= nil, denied
end

-- Keep a request id that only callbacks have named (a candidate: "<first seen>", and " denied" once a GET with our key did
-- not know it); without room, in the place of the denied one that was seen first. False: each may still be the job's.
local function keep_candidate(request_id, most)
  local has_room, denied = has_candidate_room(request_id, most)
  if not has_room then return false end
  if denied then
    redis.call("HDEL", CANDIDATES, denied)
    forget_events(int("attempt"), denied, true)
  end
  if redis.call("HEXISTS", CANDIDATES, request_id) == 0 then redis.call("HSET", CANDIDATES, request_id, text(now)) end
  return true
end

-- Make room: forget all events but so many, the terminal ones kept first, and of these the latest.
local function keep_latest_events(most)
  local order, stored = {}, events()
  for name in pairs(stored) do order[#order + 1] = name end
  table.sort(order, function(a, b)
    local one, other = stored[a], stored[b]
    if one.is_terminal ~= other.is_terminal then return one.is_terminal end
    if one.at ~= other.at then return one.at > other.at end
    return a < b
  end)
  for i = most + 1, #order do redis.call("HDEL", EVENTS, order[i]) end
end
