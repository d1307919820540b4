-- Tell a subscriber's stream, now or when it comes back, that a dead letter has been redriven. Again changes nothing.
-- KEYS: mail, signals.  ARGV: subscriber ('*' for everybody who is connected), letter, cursor.
local word = 'heal:' .. ARGV[2] .. ':' .. ARGV[3]
if ARGV[1] == '*' or write_to(KEYS[1], ARGV[1], word) then signal(KEYS[2], 'redriven', ARGV[1], word) end
return 1
