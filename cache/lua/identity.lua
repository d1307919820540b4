-- Whose memory this is: it changes when the server was started again, and when a replica took over.
local server, replication = redis.call('INFO', 'server'), redis.call('INFO', 'replication')
return (string.match(server, 'run_id:(%w+)') or '') .. ' ' .. (string.match(replication, 'master_replid:(%w+)') or '')
