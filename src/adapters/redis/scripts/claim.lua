-- -- Leases due deliveries: first those that were handed out before, then new ones, both in the order of arrival. Every
-- delivery that was handed out before arrived before every new one. A delivery that becomes due while another one of
-- its job is processed is parked.
-- ARGV: 1 consumer, 2 limit, 3 lease (ms), 4 bytes of bodies after which to stop.
-- Returns 1 if it stopped because of the bytes, otherwise 0, and {id, received, attempts before this one, token, body}
-- of each.

local consumer, limit, lease, max_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local handed_out = {}
local bytes = 0

-- A delivery that was evicted or deleted is lost. It must not block the others.
local function drop(id, entry)
  redis.call('XACK', stream, group, entry)
  redis.call('XDEL', stream, entry)
  redis.call('ZREM', unfinished, id)
end

-- Hands out a delivery that is next and pending for this consumer.
local function hand_out(id, entry)
  local received, job, place = unpack(redis.call('HMGET', delivery_key(id), 'received', 'job', 'place'))
  if not place then
    return drop(id, entry)
  end
  local holder = redis.call('HGET', busy, job)
  if holder and redis.call('ZSCORE', leases, holder) then
    redis.call('ZADD', parked_key(job), place, id)
    return
  end
  local attempts = redis.call('HINCRBY', delivery_key(id), 'attempts', 1)
  redis.call('HSET', delivery_key(id), 'state', 'leased', 'until', now + lease)
  redis.call('ZADD', leases, now + lease, id)
  redis.call('HSET', busy, job, id)
  local body = redis.call('GET', body_key(id)) or ''
  bytes = bytes + #body
  table.insert(handed_out, { id, received, attempts - 1, place .. '.' .. attempts, body })
end

local function has_room()
  return #handed_out < limit and bytes < max_bytes
end

forget_expired()
for _, waiting in ipairs({ leases, delayed }) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', now, 'LIMIT', 0, 1000)) do
    local job, place = unpack(redis.call('HMGET', delivery_key(id), 'job', 'place'))
    redis.call('ZREM', waiting, id)
    if place then
      redis.call('ZADD', returned, place, id)
    end
    if place and waiting == leases then
      free(job)
    end
  end
end

while has_room() do
  local id, place = unpack(redis.call('ZPOPMIN', returned))
  if not id then
    break
  end
  redis.call('XCLAIM', stream, group, consumer, 0, entry_id(place))
  hand_out(id, entry_id(place))
end

while has_room() and redis.call('EXISTS', stream) == 1 do
  local read = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', stream, '>')
  if not read then
    break
  end
  local entry = read[1][2][1]
  hand_out(entry[2][2], entry[1])
end
return { bytes >= max_bytes and 1 or 0, handed_out }
