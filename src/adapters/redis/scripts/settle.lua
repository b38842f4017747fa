-- -- Ends a lease that is still held.
-- ARGV: 1 id, 2 token, 3 'done', 'dead' or 'queued' (for a retry), 4 retention or delay (ms), 5 cause.

local id, outcome, time = ARGV[1], ARGV[3], tonumber(ARGV[4])

forget_expired()
local state, held_until, place, attempts, job =
  unpack(redis.call('HMGET', delivery_key(id), 'state', 'until', 'place', 'attempts', 'job'))
if state ~= 'leased' or tonumber(held_until) <= now or place .. '.' .. attempts ~= ARGV[2] then
  return
end

redis.call('ZREM', leases, id)
redis.call('HSET', delivery_key(id), 'state', outcome)
if ARGV[5] then
  redis.call('HSET', delivery_key(id), 'cause', ARGV[5])
end
if outcome == 'queued' then
  redis.call('HSET', delivery_key(id), 'until', now + time)
  redis.call('ZADD', delayed, now + time, id)
  wake()
  return free(job)
end

redis.call('XACK', stream, group, entry_id(place))
redis.call('XDEL', stream, entry_id(place))
redis.call('ZREM', unfinished, id)
redis.call('ZREM', job_key(job), id)
redis.call('HINCRBY', totals, 'unfinished_bytes', 0 - (redis.call('HGET', sizes, id) or 0))
if outcome == 'dead' then
  redis.call('ZADD', dead, place, id)
  redis.call('ZADD', spare, BEHIND + place, id)
else
  redis.call('ZADD', spare, place, id)
end
redis.call('ZADD', over, now + time, id)
redis.call('PEXPIREAT', delivery_key(id), now + time)
redis.call('PEXPIREAT', body_key(id), now + time)

free(job)
