-- Writes a record if its version is the expected one.
-- KEYS: 1 record, 2 index of its kind, 3 expiries of its kind.
-- ARGV: 1 id, 2 expected version, empty for none, 3 new version, 4 payload, 5 how long to keep it (ms), empty for ever.
-- Returns 1 if it was written, 0 if the version is another one.

local id, keep = ARGV[1], tonumber(ARGV[5])
if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[2] then
  return 0
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- What has expired leaves the index bit by bit, so that it costs the same however much there is.
for _, expired in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 16)) do
  redis.call('ZREM', KEYS[2], expired)
  redis.call('ZREM', KEYS[3], expired)
end

redis.call('HSET', KEYS[1], 'version', ARGV[3], 'value', ARGV[4])
redis.call('ZADD', KEYS[2], 0, id)
if keep then
  redis.call('ZADD', KEYS[3], now + keep, id)
  redis.call('PEXPIREAT', KEYS[1], now + keep)
else
  redis.call('ZREM', KEYS[3], id)
  redis.call('PERSIST', KEYS[1])
end
return 1
