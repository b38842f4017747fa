-- -- Removes a record.
-- KEYS: 1 record, 2 index of its kind, 3 expiries of its kind, 4 spare records of its kind. ARGV: 1 id.

redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
