-- Move an entry of one subscriber to the dead letters: the letter, the acknowledgement and the note to the client are
-- one. PostgreSQL has the letter already. Never XDEL: the entry is everybody's.
-- KEYS: positions, stream, groups, pending, pending_since, pending_total, suspects, mail, dead_letters.
-- ARGV: subscriber ('*' for everybody: then there is no group), group, cursor, 1 if the letter is new in PostgreSQL else
-- 0, longest stream of letters, then the letter's fields and values.
-- Returns 1 if the entry was pending.
local acked = 0
if ARGV[1] ~= '*' then
  local reply = redis.pcall('XACK', KEYS[2], ARGV[2], ARGV[3])
  if type(reply) == 'number' then acked = reply end
  redis.call('HDEL', KEYS[7], ARGV[1])
  write_to(KEYS[8], ARGV[1], 'dead:' .. ARGV[3])
  reindex({KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]}, ARGV[1], ARGV[2])
end
if acked == 1 or ARGV[4] == '1' then
  local add = {'XADD', KEYS[9], 'MAXLEN', '~', ARGV[5], '*'}
  for i = 6, #ARGV do add[#add + 1] = ARGV[i] end
  redis.call(unpack(add))
end
return acked
