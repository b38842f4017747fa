-- Describes a page of deliveries, the last to arrive first.
-- ARGV: 1 sorted set by place that has them, 2 place to begin before, or '+inf', 3 how many at most.
-- Returns where the next page begins, nil when there is none, and the rows.

forget_expired()
local rows = {}
local page = redis.call('ZREVRANGEBYSCORE', prefix .. ARGV[1], ARGV[2], '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
for i = 1, #page, 2 do
  table.insert(rows, describe(page[i]))
end
local last = page[#page]
return { last and '(' .. last or false, rows }
