-- -- Removes a dead letter.
-- ARGV: 1 id.
-- Returns 1 if it existed.

local id = ARGV[1]

forget_expired()
if redis.call('HGET', delivery_key(id), 'state') ~= 'dead' then
  return 0
end
forget(id)
return 1
