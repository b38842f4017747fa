-- -- Describes a page of deliveries, the latest arrival first.
-- ARGV: 1 sorted set by place that contains them, 2 place to begin before, or '+inf', 3 limit.
-- Returns the beginning of the next page, nil if there is none, and the rows.

forget_expired()
local rows = {}
local page = redis.call('ZREVRANGEBYSCORE', prefix .. ARGV[1], ARGV[2], '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
for i = 1, #page, 2 do
  table.insert(rows, describe(page[i]))
end
local last = page[#page]
return { last and '(' .. last or false, rows }
