-- A user's marks as PostgreSQL had them at a version.
-- KEYS: state, then consecutive segments up to that of `top`. ARGV: the first segment's number, version, through, above, top,
-- expiry (s), then the bytes of each segment.
-- Returns 1, or 0 if newer marks came meanwhile: read again.
local kept = redis.call('HMGET', KEYS[1], 'version', 'fence')
if math.max(tonumber(kept[1] or '0'), tonumber(kept[2] or '0')) > tonumber(ARGV[2]) then return 0 end
for k = 2, #KEYS do redis.call('SET', KEYS[k], ARGV[k + 5], 'EX', ARGV[6]) end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'low', ARGV[1], 'version', ARGV[2], 'through', ARGV[3], 'above', ARGV[4], 'top', ARGV[5])
redis.call('EXPIRE', KEYS[1], ARGV[6])
return 1
