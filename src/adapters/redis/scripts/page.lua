-- Reads a page of records in ascending order of id.
-- KEYS: 1 index of the kind. ARGV: 1 what the keys of the records begin with, 2 where to begin, 3 how many at most.
-- Returns where the next page begins, nil when there is none, and {id, version, payload} of each that is still there.

local ids = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[2], '+', 'LIMIT', 0, ARGV[3])
local records = {}
for _, id in ipairs(ids) do
  local version, value = unpack(redis.call('HMGET', ARGV[1] .. id, 'version', 'value'))
  if version then
    table.insert(records, { id, version, value })
  end
end
return { #ids == tonumber(ARGV[3]) and '(' .. ids[#ids] or false, records }
