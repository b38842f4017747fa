-- Leases what is due: first what was handed out before, then what is new; either in the order of arrival, and everything
-- handed out before arrived before everything new.
-- ARGV: 1 consumer, 2 how many at most, 3 lease (ms), 4 bytes of bodies after which to stop.
-- Returns 1 if it stopped for the bytes, else 0, and {id, received, attempts before this one, token, body} of each.

local consumer, limit, lease, max_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local handed_out = {}
local bytes = 0

-- What the server evicted, or somebody deleted, is lost; it must not hold up the rest.
local function drop(id, entry)
  redis.call('XACK', stream, group, entry)
  redis.call('XDEL', stream, entry)
  redis.call('ZREM', unfinished, id)
end

local function hand_out(id, place)
  local received = redis.call('HGET', delivery_key(id), 'received')
  if not received then
    return drop(id, entry_id(place))
  end
  local attempts = redis.call('HINCRBY', delivery_key(id), 'attempts', 1)
  redis.call('HSET', delivery_key(id), 'state', 'leased', 'until', now + lease)
  redis.call('ZADD', leases, now + lease, id)
  local body = redis.call('GET', body_key(id)) or ''
  bytes = bytes + #body
  local token = string.format('%d.%d', place, attempts)
  table.insert(handed_out, { id, received, attempts - 1, token, body })
end

local function has_room()
  return #handed_out < limit and bytes < max_bytes
end

forget_expired()
for _, waiting in ipairs({ leases, delayed }) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', now, 'LIMIT', 0, 1000)) do
    local place = redis.call('HGET', delivery_key(id), 'place')
    if place then
      redis.call('ZADD', returned, place, id)
    end
    redis.call('ZREM', waiting, id)
  end
end

while has_room() do
  local first = redis.call('ZRANGE', returned, 0, 0, 'WITHSCORES')
  if not first[1] then
    break
  end
  redis.call('ZREM', returned, first[1])
  redis.call('XCLAIM', stream, group, consumer, 0, entry_id(first[2]))
  hand_out(first[1], first[2])
end

while has_room() and redis.call('EXISTS', stream) == 1 do
  local read = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', stream, '>')
  if not read then
    break
  end
  local entry = read[1][2][1]
  local id = entry[2][2]
  local job, place = unpack(redis.call('HMGET', delivery_key(id), 'job', 'place'))
  if not job then
    drop(id, entry[1])
  elseif redis.call('LINDEX', job_key(job), 0) == id then
    hand_out(id, place)
  else
    -- Has its turn when the one before it is over.
    redis.call('HSET', delivery_key(id), 'parked', 1)
  end
end
return { bytes >= max_bytes and 1 or 0, handed_out }
