-- Take jobs whose records have ended out of the index of the lists.
--
-- KEYS  1 listed sorted set   2 closed sorted set   3.. records of the jobs, in the order of the ids
-- ARGV  1 now, Unix ms ("": the server's clock)   2.. job ids
-- Returns how many were taken out; one whose record is still there is put off until that ends

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local forgotten = 0
for i = 3, #KEYS do
  local job_id, left_ms = ARGV[i - 1], redis.call("PTTL", KEYS[i])
  if left_ms == -2 then
    redis.call("ZREM", KEYS[1], job_id)
    forgotten = forgotten + 1
  end
  if left_ms > 0 then
    redis.call("ZADD", KEYS[2], string.format("%.0f", now + left_ms), job_id)
  else
    redis.call("ZREM", KEYS[2], job_id)
  end
end
return forgotten
