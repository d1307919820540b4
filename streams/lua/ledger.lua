-- Write a batch of receipts.
-- KEYS: positions, stream, groups, pending, pending_since, pending_total, suspects, signals, mail.  ARGV: process; then
-- per subscriber: name, group, epoch, position, floor (before the first entry that is not settled, pending ones
-- included), held (entries the stream believes in the PEL when this is written), the last of them, 1 if the stream has
-- ended else 0, suspect ('' for no news, '-' to forget it, else what to keep); number of entries handed over, for each: ID, owner,
-- deliveries so far; number confirmed, their IDs; number of words of mail delivered, the words.
--
-- A receipt of another epoch than the current one is dropped: that stream has been taken over; only its pending entries
-- are released. The position moves forward, and past an entry only when that entry is settled or the PEL holds it. Where
-- Redis has lost what the stream relies on (a flush, a stale replica, a trimmed entry), the position goes to the floor.
-- Returns a flat list of subscriber, reason for those whose receipt did not (wholly) count.
local index = {KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]}
local process = ARGV[1]

local function claim(group, owner, id, deliveries)
  local reply = redis.pcall('XCLAIM', KEYS[2], group, owner, '0', id, 'RETRYCOUNT', deliveries, 'FORCE', 'JUSTID')
  if reply.err then
    if not string.find(reply.err, 'NOGROUP') then return reply.err end
    redis.call('XGROUP', 'CREATE', KEYS[2], group, '0', 'MKSTREAM')
    reply = redis.pcall('XCLAIM', KEYS[2], group, owner, '0', id, 'RETRYCOUNT', deliveries, 'FORCE', 'JUSTID')
    if reply.err then return reply.err end
  end
  if #reply == 0 then return 'TRIMMED' end
  return nil
end

-- What a stream that has been taken over still owns is for the newer one.
local function release(name, group, handed)
  local any = false
  for i = 1, #handed, 3 do
    local mine = redis.pcall('XPENDING', KEYS[2], group, handed[i], handed[i], '1', process)
    if not mine.err and #mine == 1 then
      redis.call('XCLAIM', KEYS[2], group, handed[i + 1], '0', handed[i], 'RETRYCOUNT', mine[1][4], 'JUSTID')
      any = true
    end
  end
  if any then signal(KEYS[8], 'released', name, '') end
end

local function suspect(name, news)
  if news == '-' then redis.call('HDEL', KEYS[7], name) else redis.call('HSET', KEYS[7], name, news) end
end

local function take(from, count, into)
  for i = from, from + count - 1 do into[#into + 1] = ARGV[i] end
  return from + count
end

local failed = {}
local i = 2
while i <= #ARGV do
  local name, group, epoch, position, floor = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local held, last_held, ended, news = tonumber(ARGV[i + 5]), ARGV[i + 6], ARGV[i + 7] == '1', ARGV[i + 8]
  local handed, confirmed, words = {}, {'XACK', KEYS[2], group}, {}
  i = take(i + 10, tonumber(ARGV[i + 9]) * 3, handed)
  i = take(i + 1, tonumber(ARGV[i]), confirmed)
  i = take(i + 1, tonumber(ARGV[i]), words)

  local at, current = kept_of(KEYS[1], name)
  local problem = nil
  if at and current ~= epoch then
    problem = 'SUPERSEDED'
    release(name, group, handed)
  else
    for h = 1, #handed, 3 do problem = claim(group, handed[h + 1], handed[h], handed[h + 2]) or problem end
    if #confirmed > 3 then redis.pcall(unpack(confirmed)) end
    if #handed > 0 or #confirmed > 3 or held > 0 then
      redis.call('ZADD', KEYS[3], whole(now_ms()), name)
      -- What is missing at or before the kept position was acknowledged by the client; what is missing after it is lost.
      if reindex(index, name, group) < held and at and after(last_held, at) then problem = problem or 'LOST' end
    end
    if not at and floor ~= position then problem = problem or 'LOST' end
    if problem then
      if not at or after(at, floor) then at = floor end
    elseif not at or after(position, at) then
      at = position
    end
    keep(KEYS[1], name, at, epoch, ended and '-' or process)
    if news ~= '' then suspect(name, news) end
    if #words > 0 then
      local set = {}
      for _, word in ipairs(words) do set[word] = true end
      told(KEYS[9], name, set)
    end
  end
  if problem then
    failed[#failed + 1] = name
    failed[#failed + 1] = problem
  end
end
return failed
