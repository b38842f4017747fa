-- -- Writes a record if it has the expected version.
-- KEYS: 1 record, 2 index of its kind, 3 expiries of its kind, 4 spare records of its kind.
-- ARGV: 1 id, 2 expected version, empty for none, 3 new version, 4 payload, 5 retention (ms), empty for ever, 6 most
-- spare records if this is one, otherwise empty.
-- Returns 1 if it was written, 0 if the version is different.

local id, keep, max_spare = ARGV[1], tonumber(ARGV[5]), tonumber(ARGV[6])
if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[2] then
  return 0
end

local function leave_index(gone)
  redis.call('ZREM', KEYS[2], gone)
  redis.call('ZREM', KEYS[3], gone)
  redis.call('ZREM', KEYS[4], gone)
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Each call removes a few expired records from the index, so that its cost does not depend on their number.
for _, expired in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 16)) do
  leave_index(expired)
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

if max_spare then
  local latest = tonumber(redis.call('ZRANGE', KEYS[4], -1, -1, 'WITHSCORES')[2] or 0)
  redis.call('ZADD', KEYS[4], math.max(now, latest + 1), id)
  local surplus = redis.call('ZCARD', KEYS[4]) - max_spare
  if surplus > 0 then
    local begin = string.sub(KEYS[1], 1, -1 - #id)
    for _, oldest in ipairs(redis.call('ZRANGE', KEYS[4], 0, math.min(surplus, 16) - 1)) do
      leave_index(oldest)
      redis.call('DEL', begin .. oldest)
    end
  end
else
  redis.call('ZREM', KEYS[4], id)
end
return 1
