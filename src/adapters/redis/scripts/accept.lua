-- -- Deduplicates an arrival and enqueues it or stores it as a dead letter, in one step.
-- ARGV: 1 id, 2 event, 3 received (text), 4 received (ms), 5 retention (ms), then for an arrival with a body: 6 action,
-- 7 repository, 8 job, 9 bytes as received, 10 most bytes of bodies, 11 body; then either 12 the cause of a dead
-- letter, or 12 most unfinished deliveries, 13 most unfinished bytes.
-- Returns 'taken', 'seen' or 'full'.

local id, retention = ARGV[1], tonumber(ARGV[5])
local is_dead, is_work = #ARGV == 12, #ARGV == 13
local bytes = tonumber(ARGV[9] or 0)

forget_expired()
local state = redis.call('HGET', delivery_key(id), 'state')
if state and not (state == 'dead' and is_work) then
  return 'seen'
end
if is_work then
  local unfinished_bytes = tonumber(redis.call('HGET', totals, 'unfinished_bytes') or 0)
  if redis.call('XLEN', stream) >= tonumber(ARGV[12]) or unfinished_bytes + bytes > tonumber(ARGV[13]) then
    return 'full'
  end
end

forget(id)
redis.call('HSET', delivery_key(id), 'event', ARGV[2], 'received', ARGV[3], 'received_ms', ARGV[4])
if is_work or is_dead then
  redis.call('HSET', delivery_key(id), 'action', ARGV[6], 'repository', ARGV[7], 'job', ARGV[8])
  redis.call('SET', body_key(id), ARGV[11])
  redis.call('HSET', sizes, id, bytes)
  redis.call('HINCRBY', totals, 'body_bytes', bytes)
end
if is_work then
  enqueue(id, ARGV[8], bytes, ARGV[4])
else
  local place = take_place(id)
  redis.call('HSET', delivery_key(id), 'state', is_dead and 'dead' or 'ignored', 'attempts', 0)
  redis.call('ZADD', over, now + retention, id)
  redis.call('PEXPIREAT', delivery_key(id), now + retention)
  if is_dead then
    redis.call('HSET', delivery_key(id), 'cause', ARGV[12])
    redis.call('ZADD', dead, place, id)
    redis.call('ZADD', spare, BEHIND + place, id)
    redis.call('PEXPIREAT', body_key(id), now + retention)
  end
end
if is_work or is_dead then
  make_room(tonumber(ARGV[10]))
end
return 'taken'
