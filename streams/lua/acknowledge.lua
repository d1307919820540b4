-- A client says that it has everything up to a cursor.
-- KEYS: positions, stream, groups, pending, pending_since, pending_total, suspects, signals.
-- ARGV: subscriber, group, process, the cursor.
-- Returns {position, entries still pending}, or {} for a subscriber that is not known. A stream in another process hears
-- of it by a signal; one in this process is the caller's to tell.
local position, epoch, owner = kept_of(KEYS[1], ARGV[1])
if not position then return {} end
local index = {KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]}
while true do
  local pending = redis.pcall('XPENDING', KEYS[2], ARGV[2], '-', ARGV[4], '100')
  if pending.err or #pending == 0 then break end
  for _, row in ipairs(pending) do redis.call('XACK', KEYS[2], ARGV[2], row[1]) end
end
if after(ARGV[4], position) then
  position = ARGV[4]
  keep(KEYS[1], ARGV[1], position, epoch, owner)
end
local known = redis.call('HGET', KEYS[7], ARGV[1])
if known and not after(string.match(known, '^(%S+)'), ARGV[4]) then redis.call('HDEL', KEYS[7], ARGV[1]) end
local count = reindex(index, ARGV[1], ARGV[2])
if owner ~= '-' and owner ~= ARGV[3] then signal(KEYS[8], 'acknowledged', ARGV[1], ARGV[4]) end
return {position, count}
