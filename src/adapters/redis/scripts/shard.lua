-- -- The common part of the queue's scripts; each of them begins with this text. mod.rs documents every key.
-- KEYS[1] is the shard's stream, the only key that is declared: a script knows the deliveries that it touches only at
-- run time, and all keys of a shard have the same hash tag.

local stream = KEYS[1]
local group = 'workers'
local prefix = string.sub(stream, 1, -1 - #'queue')
local totals = prefix .. 'totals'
local arrived = prefix .. 'arrived'
local unfinished = prefix .. 'unfinished'
local returned = prefix .. 'returned'
local leases = prefix .. 'leases'
local delayed = prefix .. 'delayed'
local over = prefix .. 'over'
local dead = prefix .. 'dead'
local busy = prefix .. 'busy'
local sizes = prefix .. 'sizes'
local spare = prefix .. 'spare'

-- Added to the place of a dead letter's spare body, so that it sorts after all others. The sum is still exact.
local BEHIND = 2 ^ 52

local function delivery_key(id)
  return prefix .. 'delivery:' .. id
end

local function body_key(id)
  return prefix .. 'body:' .. id
end

local function job_key(job)
  return prefix .. 'job:' .. job
end

local function parked_key(job)
  return prefix .. 'parked:' .. job
end

local function entry_id(place)
  return string.format('%d-0', place)
end

-- Returns milliseconds since 1970.
local function store_clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local now = store_clock()

-- Notifies the waiting processes that a delivery may be due. A message that is not permitted costs only time.
local function wake()
  redis.pcall('PUBLISH', 'jitgate:changed', '')
end

local function drop_body(id)
  local bytes = redis.call('HGET', sizes, id)
  if bytes then
    redis.call('HINCRBY', totals, 'body_bytes', 0 - bytes)
    redis.call('HDEL', sizes, id)
    redis.call('ZREM', spare, id)
    redis.call('DEL', body_key(id))
  end
end

-- Removes every trace of a finished delivery, also of one whose own keys have expired already.
local function forget(id)
  drop_body(id)
  redis.call('ZREM', over, id)
  redis.call('ZREM', arrived, id)
  redis.call('ZREM', dead, id)
  redis.call('DEL', delivery_key(id))
end

local function forget_expired()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', over, '-inf', now, 'LIMIT', 0, 200)) do
    forget(id)
  end
end

-- Drops bodies of finished deliveries until at most `limit` bytes are stored, or none can be dropped.
local function make_room(limit)
  while tonumber(redis.call('HGET', totals, 'body_bytes') or 0) > limit do
    local id = redis.call('ZRANGE', spare, 0, 0)[1]
    if not id then
      return
    end
    drop_body(id)
  end
end

-- Gives a delivery the last place in the order of arrival.
local function take_place(id)
  local place = redis.call('HINCRBY', totals, 'places', 1)
  redis.call('HSET', delivery_key(id), 'place', place, 'placed', now)
  redis.call('ZADD', arrived, place, id)
  return place
end

-- Queues a delivery whose hash and body exist.
local function enqueue(id, job, bytes, received)
  local place = take_place(id)
  if redis.call('EXISTS', stream) == 0 then
    redis.call('XGROUP', 'CREATE', stream, group, 0, 'MKSTREAM')
  end
  redis.call('XADD', stream, entry_id(place), 'delivery', id)
  redis.call('ZADD', job_key(job), place, id)
  redis.call('ZADD', unfinished, received, id)
  redis.call('HINCRBY', totals, 'unfinished_bytes', bytes)
  redis.call('HSET', delivery_key(id), 'state', 'queued', 'attempts', 0, 'until', now)
  wake()
end

-- Marks a job as idle: the oldest of its deliveries that became due in the meantime can be claimed.
local function free(job)
  redis.call('HDEL', busy, job)
  local id, place = unpack(redis.call('ZPOPMIN', parked_key(job)))
  if id then
    redis.call('ZADD', returned, place, id)
    wake()
  end
end

-- Describes a delivery, in the order in which rows.rs parses it; nil if it is unknown.
local function describe(id)
  local row = redis.call('HMGET', delivery_key(id), 'event', 'action', 'repository', 'job', 'received', 'state',
    'attempts', 'until', 'cause', 'placed')
  if not row[1] then
    return nil
  end
  if row[6] == 'leased' and tonumber(row[8]) <= now then
    row[6] = 'queued'
  end
  table.insert(row, 1, id)
  return row
end
