-- What stands in front of the scripts that ask whether a provider may be asked now; it needs nothing of `_record.lua`.
--
-- The hash of a provider's limits holds, each with "submit." or "poll." in front:
--   calls.<second>, failed.<second>  how many were begun, how many failed      hold_until  asked to wait until then
--   open_since, open_why             the circuit breaker is open                probe_at    when it lets one through
--   short                            "<cost> <job id>": first in line, and what is left of the budget is too small
-- and "probe:<op>:<job id>"          when the open breaker let that job's request through
-- Seconds are counted whole, so 61 of them cover any 60 s, with the time that a request is on its way.

local WINDOW_SECONDS, PROBE_MS, LONGEST_HOLD_MS = 60, 10000, 3600000
local LEAST_CALLS, PLENTY = 20, 1000000
local LONGEST_PROBE_MS = 900000  -- no request takes so long: its worker has died

-- The rate limiter of one provider. limits {provider, max_concurrent, per_minute, is_paused: by an operator,
-- left: millionths under the caps that all jobs share (none: there is no such cap; `reserve` counts), until left_until;
-- over: "budget" (the POST asked about would pass a cap, until over_until) or "price" (it always would), and is_shared:
-- that is a cap of all jobs}; keys {limits, occupied, line}
local function gate_of(now, limits, keys)
  local gate, state, stale, second = {}, {}, {}, math.floor(now / 1000)
  local calls, failed, oldest = {submit = 0, poll = 0}, {submit = 0, poll = 0}, second
  local flat = redis.call("HGETALL", keys.limits)
  for i = 1, #flat, 2 do
    local op, kind, at = string.match(flat[i], "^(%a+)%.(%a+)%.(%d+)$")
    if not op then
      state[flat[i]] = flat[i + 1]
    elseif math.abs(second - at) > WINDOW_SECONDS then
      -- a clock that was set back leaves seconds behind that have not been yet
      stale[#stale + 1] = flat[i]
    else
      local counted = kind == "calls" and calls or failed
      counted[op] = counted[op] + flat[i + 1]
      if kind == "calls" then oldest = math.min(oldest, tonumber(at)) end
    end
  end
  gate.calls, gate.failed, gate.state = calls, failed, state

  local function probe(op, job_id) return "probe:" .. op .. ":" .. job_id end
  local function is_probe(field, op) return string.find(field, "probe:" .. op .. ":", 1, true) == 1 end
  local function prefix(op) return limits.provider .. ":" .. op .. ":" end
  local function after(op) return "(" .. limits.provider .. ":" .. op .. ";" end
  local function soon(instant, at_most) return instant and tonumber(instant) > now and instant - now <= at_most end

  function gate.is_open(op) return state[op .. ".open_since"] ~= nil end
  function gate.occupied()
    return redis.call("ZLEXCOUNT", keys.occupied, "[" .. limits.provider .. ":", "(" .. limits.provider .. ";")
  end
  function gate.waiting(op) return redis.call("ZLEXCOUNT", keys.line, "[" .. prefix(op), after(op)) end
  function gate.first(op, count)
    return redis.call("ZRANGEBYLEX", keys.line, "[" .. prefix(op), after(op), "LIMIT", 0, count)
  end

  local function is_short()
    if not limits.left or not state["submit.short"] then return false end
    local cost, job_id = string.match(state["submit.short"], "^(%d+) (.+)$")
    local first = gate.first("submit", 1)[1]
    return first ~= nil and string.match(first, "[^:]+$") == job_id and tonumber(cost) > limits.left
  end

  -- What forbids any request of that kind, whatever the rate, and until when if that is known.
  function gate.blocked(op)
    if soon(state[op .. ".hold_until"], LONGEST_HOLD_MS) then return "asked_to_wait", tonumber(state[op .. ".hold_until"]) end
    if gate.is_open(op) and soon(state[op .. ".probe_at"], PROBE_MS) then
      return "breaker", tonumber(state[op .. ".probe_at"])
    end
    if op ~= "submit" then return nil end
    if limits.is_paused then return "paused" end
    if limits.max_concurrent and gate.occupied() >= limits.max_concurrent then return "concurrency" end
    if is_short() then return "budget", limits.left_until end
  end

  -- How many requests of that kind may begin now; where none may: why, and until when if that is known.
  function gate.room(op)
    local why, at = gate.blocked(op)
    if why then return 0, why, at end
    local room, other = gate.is_open(op) and 1 or PLENTY, op == "submit" and "poll" or "submit"
    if op == "submit" and limits.max_concurrent then room = math.min(room, limits.max_concurrent - gate.occupied()) end
    if not limits.per_minute then return room end
    local free = limits.per_minute - calls.submit - calls.poll
    if gate.waiting(other) > 0 and not gate.blocked(other) then
      -- both want more than there is: each may have half
      free = math.min(free, math.ceil(limits.per_minute / 2) - calls[op])
    end
    if free < 1 then return 0, "rate", (oldest + WINDOW_SECONDS + 1) * 1000 end
    return math.min(room, free)
  end

  -- Why the job at *entry* of the line may not begin now, until when if that is known, and how many are before it; nil: it may.
  function gate.refusal(op, entry, cost)
    local room, why, at = gate.room(op)
    local ahead = redis.call("ZLEXCOUNT", keys.line, "[" .. prefix(op), "(" .. entry)
    if room > 0 and ahead >= room then why = "turn" end
    -- a poll costs nothing: what was paid for is looked at whatever has been spent
    if room > 0 and not why and op == "submit" and limits.over then
      why, at = limits.over, limits.over_until
      gate.short = why == "budget" and limits.is_shared and ahead == 0 and string.format("%.0f ", cost) .. string.match(entry, "[^:]+$") or nil
    end
    if why then return {why, string.format("%.0f", at or 0), ahead} end
  end

  -- Count a request that begins now; whether it is the one that an open breaker lets through.
  function gate.grant(op, job_id)
    redis.call("HINCRBY", keys.limits, op .. ".calls." .. string.format("%.0f", second), 1)
    if gate.is_open(op) then
      redis.call("HSET", keys.limits, op .. ".probe_at", string.format("%.0f", now + PROBE_MS),
        probe(op, job_id), string.format("%.0f", now))
      for field, at in pairs(state) do
        if is_probe(field, op) and math.abs(now - at) > LONGEST_PROBE_MS then stale[#stale + 1] = field end
      end
    end
    if #stale > 0 then redis.call("HDEL", keys.limits, unpack(stale)) end
    return gate.is_open(op)
  end

  -- Whether the open breaker let that job's request through and has not heard of it yet: now it has.
  function gate.take_probe(op, job_id)
    if not gate.is_open(op) or not state[probe(op, job_id)] then return false end
    redis.call("HDEL", keys.limits, probe(op, job_id))
    return true
  end

  -- A request failed in a way that tells of the provider, not of the request; whether that opened the breaker.
  function gate.fail(op, why, is_certain)
    redis.call("HINCRBY", keys.limits, op .. ".failed." .. string.format("%.0f", second), 1)
    if gate.is_open(op) then return false end
    local failures = failed[op] + 1
    if not is_certain and (calls[op] < LEAST_CALLS or 2 * failures < calls[op]) then return false end
    redis.call("HSET", keys.limits, op .. ".open_since", string.format("%.0f", now), op .. ".open_why", why,
      op .. ".probe_at", string.format("%.0f", now + PROBE_MS))
    return true
  end

  -- A request that was let through was answered well: forget what went before, the other probes too. One that began
  -- under an earlier breaker says nothing of the next.
  function gate.close(op)
    local gone = {op .. ".open_since", op .. ".open_why", op .. ".probe_at"}
    for i = 1, #flat, 2 do
      if string.find(flat[i], op .. ".failed.", 1, true) == 1 or is_probe(flat[i], op) then gone[#gone + 1] = flat[i] end
    end
    redis.call("HDEL", keys.limits, unpack(gone))
  end

  return gate
end

