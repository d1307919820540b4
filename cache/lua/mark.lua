-- Marks that PostgreSQL has committed.
-- KEYS: state, then segments. ARGV: version, through and above after the commit, expiry (s), then pairs: index of a segment
-- in KEYS, log number.
-- Returns 1 if the state followed. It follows only from the version before: marks that overtook others, or whose
-- predecessors were lost with a crash, make it distrust itself instead.
local version = redis.call('HGET', KEYS[1], 'version')
if version and tonumber(version) >= tonumber(ARGV[1]) then return 1 end
if not version or tonumber(version) ~= tonumber(ARGV[1]) - 1 then
  distrust(KEYS[1], ARGV[1])
  return 0
end
local top, highest = tonumber(redis.call('HGET', KEYS[1], 'top')), 0
for k = 5, #ARGV, 2 do
  local key, n = KEYS[tonumber(ARGV[k])], tonumber(ARGV[k + 1])
  if redis.call('GETBIT', key, 0) == 1 or n - n % SIZE > top then
    redis.call('SETBIT', key, 0, 1)
    redis.call('SETBIT', key, bit_of(n), 1)
  end
  highest = math.max(highest, n)
end
for k = 2, #KEYS do keep(KEYS[k], tonumber(ARGV[4])) end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'through', ARGV[2], 'above', ARGV[3])
if highest > top then redis.call('HSET', KEYS[1], 'top', string.format('%.0f', highest)) end
keep(KEYS[1], tonumber(ARGV[4]))
return 1
