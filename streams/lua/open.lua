-- A subscriber connects: it gets a new epoch, and where it continues.
-- KEYS: positions, stream, suspects, mail, signals.
-- ARGV: subscriber, group, process; the client's own cursor ('' if it brought none); where and in which epoch it stood
-- as PostgreSQL remembers it ('' if nobody has asked yet); most pending entries wanted.
-- A client's cursor is the truth for its device; else the position kept here; else PostgreSQL's.
-- Returns {} for a subscriber that is not known here as long as nobody has asked PostgreSQL; else
-- {position, epoch, suspect or '', mail or '', {pending: ID, owner, idle ms, deliveries}...}.
local position, epoch, owner = kept_of(KEYS[1], ARGV[1])
if not position then
  if ARGV[5] == '' then return {} end
  position, epoch = ARGV[5], ARGV[6]
end
if ARGV[4] ~= '' then position = ARGV[4] end
epoch = next_epoch(epoch)
keep(KEYS[1], ARGV[1], position, epoch, ARGV[3])
if owner and owner ~= '-' and owner ~= ARGV[3] then signal(KEYS[5], 'taken_over', ARGV[1], epoch) end
local pending = redis.pcall('XPENDING', KEYS[2], ARGV[2], '-', '+', ARGV[7])
if pending.err then pending = {} end  -- the group is made with the first exception only
return {position, epoch, redis.call('HGET', KEYS[3], ARGV[1]) or '', redis.call('HGET', KEYS[4], ARGV[1]) or '', pending}
