-- Write a batch of receipts.
-- KEYS: positions, stream.  ARGV: then per subscriber: name, group, epoch, position ('' to leave it),
-- number of entries handed over, for each: ID, owner, deliveries so far; number of entries confirmed, their IDs.
-- A receipt of another epoch than the current one is dropped: that stream has been taken over.
-- Positions only move forward, and past an entry handed over only when the group's PEL holds it.
-- Returns a flat list of subscriber, reason for those whose receipt did not (wholly) count.
local function after(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  a_ms, a_seq, b_ms, b_seq = tonumber(a_ms), tonumber(a_seq), tonumber(b_ms), tonumber(b_seq)
  return a_ms > b_ms or (a_ms == b_ms and a_seq > b_seq)
end

local function claim(stream, group, owner, id, deliveries)
  local reply = redis.pcall('XCLAIM', stream, group, owner, '0', id, 'RETRYCOUNT', deliveries, 'FORCE', 'JUSTID')
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'NOGROUP') then return reply.err end
    redis.call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
    reply = redis.pcall('XCLAIM', stream, group, owner, '0', id, 'RETRYCOUNT', deliveries, 'FORCE', 'JUSTID')
    if reply.err then return reply.err end
  end
  if #reply == 0 then return 'TRIMMED' end
  return nil
end

local failed = {}
local i = 1
while i <= #ARGV do
  local name, group, epoch, position = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local handed = tonumber(ARGV[i + 4])
  local first_handed = i + 5
  local confirmed = tonumber(ARGV[first_handed + handed * 3])
  local first_confirmed = first_handed + handed * 3 + 1
  i = first_confirmed + confirmed

  local kept = redis.call('HGET', KEYS[1], name)
  local at, current = nil, nil
  if kept then at, current = string.match(kept, '^(%S+) (%d+)$') end
  if kept and current ~= epoch then
    failed[#failed + 1] = name
    failed[#failed + 1] = 'SUPERSEDED'
  else
    local problem = nil
    for h = first_handed, first_handed + handed * 3 - 1, 3 do
      problem = claim(KEYS[2], group, ARGV[h + 1], ARGV[h], ARGV[h + 2]) or problem
    end
    if confirmed > 0 then
      local ack = {'XACK', KEYS[2], group}
      for c = first_confirmed, first_confirmed + confirmed - 1 do ack[#ack + 1] = ARGV[c] end
      redis.pcall(unpack(ack))
    end
    if problem then
      failed[#failed + 1] = name
      failed[#failed + 1] = problem
    elseif position ~= '' and (not at or after(position, at)) then
      redis.call('HSET', KEYS[1], name, position .. ' ' .. epoch)
    end
  end
end
return failed
