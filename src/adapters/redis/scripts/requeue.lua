-- -- Queues a finished delivery again.
-- ARGV: 1 id, 2 most bytes of bodies.
-- Returns 1 if it is queued now or was unfinished, 0 if it is unknown or has no body any more.

local id = ARGV[1]

forget_expired()
local state, job, received = unpack(redis.call('HMGET', delivery_key(id), 'state', 'job', 'received_ms'))
if state == 'queued' or state == 'leased' then
  return 1
end
if not state or redis.call('EXISTS', body_key(id)) == 0 then
  return 0
end

redis.call('PERSIST', delivery_key(id))
redis.call('PERSIST', body_key(id))
redis.call('HDEL', delivery_key(id), 'cause')
redis.call('ZREM', over, id)
redis.call('ZREM', spare, id)
redis.call('ZREM', dead, id)
enqueue(id, job, redis.call('HGET', sizes, id), received)
make_room(tonumber(ARGV[2]))
return 1
