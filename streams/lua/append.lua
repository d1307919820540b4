-- Compare-and-append: add the given entries only if the stream ends where the caller thinks it does.
-- KEYS: the stream.  ARGV: the expected last ID ('0-0' for none); then per entry six values:
-- ID, prev, activity_id, publish_timestamp, data, traceparent ('' for none).  IDs ascend.
-- Returns {1 if appended else 0, the stream's last ID afterwards}.  With no entries it only tells the last ID.
local last = '0-0'
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
  end
end
if last ~= ARGV[1] then return {0, last} end
for i = 2, #ARGV, 6 do
  if ARGV[i + 5] == '' then
    redis.call('XADD', KEYS[1], ARGV[i], 'activity_id', ARGV[i + 2], 'publish_timestamp', ARGV[i + 3],
      'prev', ARGV[i + 1], 'data', ARGV[i + 4])
  else
    redis.call('XADD', KEYS[1], ARGV[i], 'activity_id', ARGV[i + 2], 'publish_timestamp', ARGV[i + 3],
      'prev', ARGV[i + 1], 'data', ARGV[i + 4], 'traceparent', ARGV[i + 5])
  end
  last = ARGV[i]
end
return {1, last}
