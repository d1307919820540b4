-- A user opens a stream.
-- KEYS: connections, connections of the process, connects of the user.
-- ARGV: user, most streams of a user, most streams of all, most connects of a user in a window, the window in seconds.
-- Returns {'' or the limit that is reached, seconds to wait}.
local function count(field) return tonumber(redis.call('HGET', KEYS[1], field) or '0') end
local connects = redis.call('INCR', KEYS[3])
if connects == 1 then redis.call('EXPIRE', KEYS[3], ARGV[5]) end
if connects > tonumber(ARGV[4]) then return {'connect_rate', math.max(1, redis.call('TTL', KEYS[3]))} end
if count(ARGV[1]) >= tonumber(ARGV[2]) then return {'user_limit', 10} end
if count('*') >= tonumber(ARGV[3]) then return {'global_limit', 10} end
for _, field in ipairs({ARGV[1], '*'}) do
  redis.call('HINCRBY', KEYS[1], field, 1)
  redis.call('HINCRBY', KEYS[2], field, 1)
end
return {'', 0}
