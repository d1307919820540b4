-- Subscribers connect: each gets a new epoch, and where it continues.
-- KEYS: positions, stream, suspects, mail, signals.
-- ARGV: process; most pending entries wanted of each; then per subscriber five values: name, group; the client's own
-- cursor ('' if it brought none); where and in which epoch it stood as PostgreSQL remembers it ('' if nobody has asked
-- yet).
-- A client's cursor is the truth for its device; else the position kept here; else PostgreSQL's.
-- Returns for each {} if it is not known here and nobody has asked PostgreSQL; else
-- {position, epoch, suspect or '', mail or '', {pending: ID, owner, idle ms, deliveries}...}.
local function open(name, group, since, remembered, remembered_epoch)
  local position, epoch, owner = kept_of(KEYS[1], name)
  if not position then
    if remembered == '' then return {} end
    position, epoch = remembered, remembered_epoch
  end
  if since ~= '' then position = since end
  epoch = next_epoch(epoch)
  keep(KEYS[1], name, position, epoch, ARGV[1])
  if owner and owner ~= '-' and owner ~= ARGV[1] then signal(KEYS[5], 'taken_over', name, epoch) end
  local pending = redis.pcall('XPENDING', KEYS[2], group, '-', '+', ARGV[2])
  if pending.err then pending = {} end  -- the group is made with the first exception only
  return {position, epoch, redis.call('HGET', KEYS[3], name) or '', redis.call('HGET', KEYS[4], name) or '', pending}
end

local opened = {}
for i = 3, #ARGV, 5 do opened[#opened + 1] = open(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]) end
return opened
