-- The marks of a stretch of the log, and what is needed to count the rest.
-- KEYS: state, then consecutive segments. ARGV: the first segment's number, lowest and highest log number, head, expiry (s).
-- Returns {version, through, above, marks beyond the head, bytes of each segment within the stretch}, or {} if PostgreSQL
-- has to be asked.
local kept = redis.call('HMGET', KEYS[1], 'version', 'through', 'above', 'top', 'low')
if not kept[1] then return {} end
local first, low, high, head = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if first < tonumber(kept[5]) then return {} end
local top, beyond, parts = tonumber(kept[4]), 0, {}
for k = 2, #KEYS do
  local starts = (first + k - 2) * SIZE
  local ends = starts + SIZE - 1
  if redis.call('GETBIT', KEYS[k], 0) == 1 then
    keep(KEYS[k], tonumber(ARGV[5]))
    if ends > head then
      beyond = beyond + redis.call('BITCOUNT', KEYS[k], bit_of(math.max(head + 1, starts)), -1, 'BIT')
    end
    if starts <= high then
      parts[#parts + 1] = redis.call(
        'GETRANGE', KEYS[k], math.floor(bit_of(math.max(low, starts)) / 8), math.floor(bit_of(math.min(high, ends)) / 8))
    end
  elseif starts <= top then
    return {}
  elseif starts <= high then
    parts[#parts + 1] = ''
  end
end
keep(KEYS[1], tonumber(ARGV[5]))
return {kept[1], kept[2], kept[3], beyond, parts}
