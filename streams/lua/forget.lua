-- Forget subscribers that have not connected for long and have nothing pending; PostgreSQL keeps their positions.
-- KEYS: positions, pending, processes, mail.  ARGV: ms of absence, ms after which a process is dead, then subscribers.
-- The epoch is the time of the last connect. Returns how many were forgotten.
local now, forgotten = now_ms(), 0
for i = 3, #ARGV do
  local position, epoch, owner = kept_of(KEYS[1], ARGV[i])
  local gone = owner == '-' or (owner and now - tonumber(redis.call('ZSCORE', KEYS[3], owner) or '0') >= tonumber(ARGV[2]))
  if position and gone and now - tonumber(epoch) >= tonumber(ARGV[1])
    and redis.call('HEXISTS', KEYS[2], ARGV[i]) == 0 and redis.call('HEXISTS', KEYS[4], ARGV[i]) == 0 then
    redis.call('HDEL', KEYS[1], ARGV[i])
    forgotten = forgotten + 1
  end
end
return forgotten
