-- Move the positions of subscribers of whom nothing is pending or unsettled: what `ledger.lua` does with a receipt that
-- says nothing else, for hundreds at once. One read, one write and two arguments for all who reached the same position.
-- KEYS: positions.  ARGV: process; then per position: the position, and `<name> <epoch> <name> <epoch> ...`.
--
-- A receipt of another epoch than the current one is dropped. A position only moves forward.
-- Returns the names whose receipt did not count.
local process = ARGV[1]
local refused = {}
for i = 2, #ARGV, 2 do
  local position, names, epochs = ARGV[i], {}, {}
  for name, epoch in string.gmatch(ARGV[i + 1], '(%S+) (%d+)') do
    names[#names + 1], epochs[#epochs + 1] = name, epoch
  end
  local news = {}
  for k, kept in ipairs(redis.call('HMGET', KEYS[1], unpack(names))) do
    local at, current = read(kept)
    if at and current ~= epochs[k] then
      refused[#refused + 1] = names[k]
    else
      if not at or after(position, at) then at = position end
      news[#news + 1], news[#news + 2] = names[k], written(at, epochs[k], process)
    end
  end
  if #news > 0 then redis.call('HSET', KEYS[1], unpack(news)) end
end
return refused
