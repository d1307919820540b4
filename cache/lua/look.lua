-- The marks of a stretch of the log, and what is needed to count the rest.
-- KEYS: state, then consecutive segments. ARGV: the first segment's number, lowest and highest log number, head, expiry (s).
-- Returns {version, through, above, marks beyond the head, bytes of each segment within the stretch}, or {} if PostgreSQL
-- has to be asked. Where the stretch ends at the head, the bytes of the head's segment go on to its last mark: those
-- beyond the head are counted by who asked. Each call costs 3 us here, four times what it does in the server.
local kept = redis.call('HMGET', KEYS[1], 'version', 'through', 'above', 'top', 'low')
if not kept[1] then return {} end
local first, low, high, head = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if first < tonumber(kept[5]) then return {} end
local top, beyond, parts, oldest = tonumber(kept[4]), 0, {}, nil
for k = 2, #KEYS do
  local starts = (first + k - 2) * SIZE
  local ends = starts + SIZE - 1
  if starts <= top then
    if redis.call('GETBIT', KEYS[k], 0) == 0 then return {} end
    oldest = oldest or KEYS[k]
    local last = math.floor(bit_of(math.min(high, ends)) / 8)
    if ends > head then
      if high == head and starts <= head then
        last = -1
      else
        beyond = beyond + redis.call('BITCOUNT', KEYS[k], bit_of(math.max(head + 1, starts)), -1, 'BIT')
      end
    end
    if starts <= high then
      parts[#parts + 1] = redis.call('GETRANGE', KEYS[k], math.floor(bit_of(math.max(low, starts)) / 8), last)
    end
  elseif starts <= high then
    parts[#parts + 1] = ''
  end
end
-- The state never expires before a segment, for it is kept with each.
if redis.call('TTL', oldest or KEYS[1]) < tonumber(ARGV[5]) * 0.99 then
  for k = 1, #KEYS do redis.call('EXPIRE', KEYS[k], ARGV[5]) end
end
return {kept[1], kept[2], kept[3], beyond, parts}
