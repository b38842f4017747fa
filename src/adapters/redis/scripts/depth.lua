-- -- Returns the numbers of unfinished, leased, delayed and dead deliveries, the bytes of unfinished bodies, the bytes
-- of all bodies, and the time at which the oldest unfinished delivery was received.

forget_expired()
local function later_ones(waiting)
  return redis.call('ZCOUNT', waiting, '(' .. now, '+inf')
end
local bytes = redis.call('HMGET', totals, 'unfinished_bytes', 'body_bytes')
local oldest = redis.call('ZRANGE', unfinished, 0, 0)[1]
return {
  redis.call('XLEN', stream),
  later_ones(leases),
  later_ones(delayed),
  redis.call('ZCARD', dead),
  tonumber(bytes[1] or 0),
  tonumber(bytes[2] or 0),
  oldest and redis.call('HGET', delivery_key(oldest), 'received') or false,
}
