-- Streams of a process have ended.  KEYS: connections, connections of the process.
-- ARGV: pairs of user and number of streams; with none, all that the process has.
local function less(key, field, by)
  if redis.call('HINCRBY', key, field, -by) <= 0 then redis.call('HDEL', key, field) end
end
local left = ARGV
if #ARGV == 0 then
  left = {}
  local all = redis.call('HGETALL', KEYS[2])
  for i = 1, #all, 2 do if all[i] ~= '*' then left[#left + 1] = all[i] left[#left + 1] = all[i + 1] end end
end
for i = 1, #left, 2 do
  for _, field in ipairs({left[i], '*'}) do
    -- Never more than the process is known to have: after a flush nothing is known, and nothing is to be taken away.
    local by = math.min(tonumber(left[i + 1]), tonumber(redis.call('HGET', KEYS[2], field) or '0'))
    if by > 0 then
      less(KEYS[1], field, by)
      less(KEYS[2], field, by)
    end
  end
end
return #left / 2
