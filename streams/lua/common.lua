-- What several scripts need; put in front of them. Cursors travel as text, `<ms>-<seq>`.
local function parts(cursor)
  local ms, seq = string.match(cursor, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function after(a, b)
  local a_ms, a_seq = parts(a)
  local b_ms, b_seq = parts(b)
  return a_ms > b_ms or (a_ms == b_ms and a_seq > b_seq)
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function whole(number) return string.format('%.0f', number) end

-- A subscriber's `<position> <epoch> <process>`, taken apart; nil if it is not known.
local function read(kept)
  if not kept then return nil end
  local position, epoch, owner = string.match(kept, '^(%d+-%d+) (%d+) ?(%S*)$')
  if owner == '' then owner = '-' end
  return position, epoch, owner
end

local function written(position, epoch, owner) return position .. ' ' .. epoch .. ' ' .. owner end

local function kept_of(positions, name) return read(redis.call('HGET', positions, name)) end

local function keep(positions, name, position, epoch, owner)
  redis.call('HSET', positions, name, written(position, epoch, owner))
end

-- An epoch that no stream of the subscriber ever had, not even before a flush: the clock, or one more than the last.
local function next_epoch(last)
  return whole(math.max(now_ms(), tonumber(last or '0') + 1))
end

-- Bring the index of pending entries up to what the group's PEL says. Returns the PEL's size and its first ID.
-- `pending_since` is when the group's oldest entry became pending: not before the group had any, and not before that
-- entry was published. index = {stream, groups, pending, pending_since, pending_total}
local function reindex(index, name, group)
  local summary = redis.pcall('XPENDING', index[1], group)
  local count, first = 0, nil
  if not summary.err then count, first = summary[1], summary[2] end
  local before = tonumber(redis.call('HGET', index[3], name) or '0')
  if count == 0 then
    if before ~= 0 then
      redis.call('HDEL', index[3], name)
      redis.call('ZREM', index[4], name)
    end
  else
    local since = tonumber(redis.call('ZSCORE', index[4], name) or '0')
    if since == 0 then since = now_ms() end
    local published = parts(first)
    redis.call('HSET', index[3], name, count)
    redis.call('ZADD', index[4], whole(math.max(since, published)), name)
  end
  if count ~= before then redis.call('INCRBY', index[5], count - before) end
  return count, first
end

local function signal(signals, kind, name, detail)
  redis.call('XADD', signals, 'MAXLEN', '~', '10000', '*', 'kind', kind, 'name', name, 'detail', detail)
end

-- Take words out of a subscriber's mail.
local function told(mail, name, words)
  local waiting = redis.call('HGET', mail, name)
  if not waiting then return end
  local left = {}
  for word in string.gmatch(waiting, '%S+') do
    if not words[word] then left[#left + 1] = word end
  end
  if #left == 0 then redis.call('HDEL', mail, name) else redis.call('HSET', mail, name, table.concat(left, ' ')) end
end

-- Put a word into a subscriber's mail. False if it is there already.
local function write_to(mail, name, word)
  local waiting = redis.call('HGET', mail, name)
  if waiting and string.find(' ' .. waiting .. ' ', ' ' .. word .. ' ', 1, true) then return false end
  redis.call('HSET', mail, name, waiting and (waiting .. ' ' .. word) or word)
  return true
end
