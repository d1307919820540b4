-- The pending entries of a subscriber that has been away become missed again: the position goes back before them.
-- KEYS: positions, stream, groups, pending, pending_since, pending_total, processes.
-- ARGV: subscriber, group, ms they must have been idle, ms after which a process is dead.
-- The epoch changes, so that a stream nobody knew of cannot move the position past them again.
-- Returns how many were parked.
local position, epoch, owner = kept_of(KEYS[1], ARGV[1])
local index = {KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]}
if not position then return 0 end
if owner ~= '-' then
  local seen = tonumber(redis.call('ZSCORE', KEYS[7], owner) or '0')
  if now_ms() - seen < tonumber(ARGV[4]) then return 0 end
end
local summary = redis.pcall('XPENDING', KEYS[2], ARGV[2])
if summary.err or summary[1] == 0 then return 0 end
local idle = redis.call('XPENDING', KEYS[2], ARGV[2], 'IDLE', ARGV[3], '-', '+', summary[1])
if #idle < summary[1] then return 0 end
local first = idle[1][1]
local ms, seq = parts(first)
local before = seq > 0 and (whole(ms) .. '-' .. whole(seq - 1)) or (whole(ms - 1) .. '-1048575')
local entry = redis.call('XRANGE', KEYS[2], first, first)
if #entry == 1 then
  for f = 1, #entry[1][2], 2 do if entry[1][2][f] == 'prev' then before = entry[1][2][f + 1] end end
end
if after(before, position) then before = position end
keep(KEYS[1], ARGV[1], before, next_epoch(epoch), '-')
for _, row in ipairs(idle) do redis.call('XACK', KEYS[2], ARGV[2], row[1]) end
reindex(index, ARGV[1], ARGV[2])
return #idle
