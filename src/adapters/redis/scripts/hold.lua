-- -- Renews a lease that is still held.
-- ARGV: 1 id, 2 token, 3 lease (ms).
-- Returns 1 if it was still held, otherwise 0.

local id, lease = ARGV[1], tonumber(ARGV[3])

local state, held_until, place, attempts =
  unpack(redis.call('HMGET', delivery_key(id), 'state', 'until', 'place', 'attempts'))
if state ~= 'leased' or tonumber(held_until) <= now or place .. '.' .. attempts ~= ARGV[2] then
  return 0
end
redis.call('HSET', delivery_key(id), 'until', now + lease)
redis.call('ZADD', leases, now + lease, id)
return 1
