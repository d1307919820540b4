-- The versions that PostgreSQL has, against those that are kept here.
-- KEYS: states of users. ARGV: the version of each.
-- Returns how many were behind and are not trusted any more.
local behind = 0
for k = 1, #KEYS do
  local version = redis.call('HGET', KEYS[k], 'version')
  if version and tonumber(version) < tonumber(ARGV[k]) then
    distrust(KEYS[k], ARGV[k])
    behind = behind + 1
  end
end
return behind
