-- A subscriber connects: it gets the next epoch, and its position.
-- KEYS: positions.  ARGV: subscriber; the client's own cursor ('' if it brought none); the head.
-- A client's cursor is the truth for its device; else the kept position; else the head.
-- Returns {position, epoch, 1 if a position was kept else 0}.
local kept = redis.call('HGET', KEYS[1], ARGV[1])
local position, epoch = nil, '0'
if kept then position, epoch = string.match(kept, '^(%S+) (%d+)$') end
local known = position and 1 or 0
if ARGV[2] ~= '' then position = ARGV[2] end
if not position then position = ARGV[3] end
epoch = string.format('%.0f', tonumber(epoch) + 1)
redis.call('HSET', KEYS[1], ARGV[1], position .. ' ' .. epoch)
return {position, epoch, known}
