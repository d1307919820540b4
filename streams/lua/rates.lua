-- What was counted in one process is added to what all have.
-- KEYS: for each count, that of this window and that of the window before.
-- ARGV: seconds to keep a count; then for each count what to add.
-- Returns for each {sum of this window, sum of the window before}.
local sums = {}
for i = 2, #ARGV do
  local now, before = KEYS[2 * i - 3], KEYS[2 * i - 2]
  local sum = redis.call('INCRBY', now, ARGV[i])
  redis.call('EXPIRE', now, ARGV[1])
  sums[#sums + 1] = {sum, tonumber(redis.call('GET', before) or '0')}
end
return sums
