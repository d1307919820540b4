-- A process says that it lives.  KEYS: processes.  ARGV: its name ('' to ask only), ms after which a process is dead.
-- Returns the names of those that live.
local now = now_ms()
if ARGV[1] ~= '' then redis.call('ZADD', KEYS[1], whole(now), ARGV[1]) end
return redis.call('ZRANGE', KEYS[1], '(' .. whole(now - tonumber(ARGV[2])), '+inf', 'BYSCORE')
