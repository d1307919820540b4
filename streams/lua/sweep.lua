-- Look after the consumer groups of some subscribers.
-- KEYS: stream, groups, pending, pending_since, pending_total, processes, signals.
-- ARGV: ms after which a process is dead, ms after which an unused group goes, then pairs of subscriber and group.
-- What a dead process owns is released; its consumer goes when, here and now, nothing is pending for it. The index is
-- set to what the PELs say. Returns {consumers deleted, groups removed, subscribers whose index was wrong}.
local index = {KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]}
local now, dead_after, unused_after = now_ms(), tonumber(ARGV[1]), tonumber(ARGV[2])
local deleted, removed, wrong = 0, 0, 0

local function dead(process)
  return process ~= 'released' and now - tonumber(redis.call('ZSCORE', KEYS[6], process) or '0') >= dead_after
end

local function release(group, process, count)
  local rows = redis.call('XPENDING', KEYS[1], group, '-', '+', count, process)
  for _, row in ipairs(rows) do
    redis.call('XCLAIM', KEYS[1], group, 'released', '0', row[1], 'IDLE', row[3], 'RETRYCOUNT', row[4], 'FORCE', 'JUSTID')
  end
end

for i = 3, #ARGV, 2 do
  local name, group = ARGV[i], ARGV[i + 1]
  local before = tonumber(redis.call('HGET', KEYS[3], name) or '0')
  local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], group)
  if consumers.err then
    redis.call('ZREM', KEYS[2], name)
  else
    for _, info in ipairs(consumers) do
      local consumer = {}
      for f = 1, #info, 2 do consumer[info[f]] = info[f + 1] end
      if dead(consumer.name) then
        if consumer.pending > 0 then
          release(group, consumer.name, consumer.pending)
          signal(KEYS[7], 'released', name, '')
        end
        if #redis.call('XPENDING', KEYS[1], group, '-', '+', '1', consumer.name) == 0 then
          redis.call('XGROUP', 'DELCONSUMER', KEYS[1], group, consumer.name)
          deleted = deleted + 1
        end
      end
    end
  end
  local count = reindex(index, name, group)
  if count ~= before then wrong = wrong + 1 end
  local used = tonumber(redis.call('ZSCORE', KEYS[2], name) or now)
  if count == 0 and now - used >= unused_after then
    redis.pcall('XGROUP', 'DESTROY', KEYS[1], group)
    redis.call('ZREM', KEYS[2], name)
    removed = removed + 1
  end
end
return {deleted, removed, wrong}
