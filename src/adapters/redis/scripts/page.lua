-- -- Reads a page of records in ascending order of id.
-- KEYS: 1 index of the kind. ARGV: 1 prefix of the keys of the records, 2 beginning of the page, 3 limit.
-- Returns the beginning of the next page, nil if there is none, and {id, version, payload} of each record that still
-- exists.

local ids = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[2], '+', 'LIMIT', 0, ARGV[3])
local records = {}
for _, id in ipairs(ids) do
  local version, value = unpack(redis.call('HMGET', ARGV[1] .. id, 'version', 'value'))
  if version then
    table.insert(records, { id, version, value })
  end
end
return { #ids == tonumber(ARGV[3]) and '(' .. ids[#ids] or false, records }
