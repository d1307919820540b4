-- What the scripts share; put in front of them.
--
-- The state of a user is a hash that promises: the segments hold every mark up to `version` of the user's marks in
-- PostgreSQL, from segment `low` on; activities up to log number `through` are read besides; `above` marks are of later
-- ones; `top` is the last log number anybody has looked at. A segment that starts after `top` is empty if it is missing;
-- any other that is missing was lost. A hash with nothing but `fence` says: nothing here can be trusted, and what was
-- read from PostgreSQL at a version below the fence is too old to start from.
local SIZE = 65536
local FENCED_FOR = 60

local function bit_of(n) return 8 + n % SIZE end

-- Refresh an expiry at most once in a hundred parts of its time: a read must not be a write.
local function keep(key, seconds)
  if redis.call('TTL', key) < seconds * 0.99 then redis.call('EXPIRE', key, seconds) end
end

-- What was kept of the user is not the truth any more: read it from PostgreSQL, at `version` or later.
local function distrust(key, version)
  local fence = tonumber(redis.call('HGET', key, 'fence') or '0')
  if fence > tonumber(version) then version = string.format('%.0f', fence) end
  redis.call('DEL', key)
  redis.call('HSET', key, 'fence', version)
  redis.call('EXPIRE', key, FENCED_FOR)
end

