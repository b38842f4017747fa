-- Describes a page of deliveries, the last to arrive first.
-- ARGV: 1 place to begin before, or '+inf', 2 how many at most.
-- Returns where the next page begins, nil when there is none, and the rows.

forget_expired()
local rows = {}
local page = redis.call('ZREVRANGEBYSCORE', arrived, ARGV[1], '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for i = 1, #page, 2 do
  table.insert(rows, describe(page[i]))
end
local last = page[#page]
return { last and '(' .. last or false, rows }
