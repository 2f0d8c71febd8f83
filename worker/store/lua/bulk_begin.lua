-- Mark jobs of a bulk act as begun, before anything is done to them.
--
-- KEYS  1 the bulk's hash   2 its jobs to do   3 the set of those begun
-- ARGV  1 life of its keys, ms   2.. job ids
-- Returns for each: "begun", "again" (it was begun before and never reported), or "no" (reported before, or stopped)

local is_working, answers = redis.call("HGET", KEYS[1], "state") == "working", {}
for i = 2, #ARGV do
  if not is_working or not redis.call("ZSCORE", KEYS[2], ARGV[i]) then
    answers[i - 1] = "no"
  else
    answers[i - 1] = redis.call("SADD", KEYS[3], ARGV[i]) == 1 and "begun" or "again"
  end
end
redis.call("PEXPIRE", KEYS[3], ARGV[1])
return answers
