-- Compare the POSTs begun with what somebody remembers, before any job that was accepted earlier is submitted again.
--
-- KEYS  1 intents hash
-- ARGV  1 now, Unix ms ("": the server's clock)   2 how many are remembered
-- Returns {how many were begun, was it fewer: 1 or 0}

local compared = count_intents(tonumber(ARGV[2]))
return {string.format("%.0f", compared.count), compared.is_lost and 1 or 0}
