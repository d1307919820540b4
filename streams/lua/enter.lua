-- Users open streams.
-- KEYS: connections, connections of the process, then for each stream: connects of its user.
-- ARGV: most streams of a user, most streams of all, most connects of a user in a window, the window in seconds; then
-- for each stream: its user.
-- Returns for each {'' or the limit that is reached, seconds to wait}.
local function count(field) return tonumber(redis.call('HGET', KEYS[1], field) or '0') end

local function enter(user, connects_key)
  local connects = redis.call('INCR', connects_key)
  if connects == 1 then redis.call('EXPIRE', connects_key, ARGV[4]) end
  if connects > tonumber(ARGV[3]) then return {'connect_rate', math.max(1, redis.call('TTL', connects_key))} end
  if count(user) >= tonumber(ARGV[1]) then return {'user_limit', 10} end
  if count('*') >= tonumber(ARGV[2]) then return {'global_limit', 10} end
  for _, field in ipairs({user, '*'}) do
    redis.call('HINCRBY', KEYS[1], field, 1)
    redis.call('HINCRBY', KEYS[2], field, 1)
  end
  return {'', 0}
end

local entered = {}
for i = 5, #ARGV do entered[#entered + 1] = enter(ARGV[i], KEYS[i - 2]) end
return entered
