-- -- Returns the milliseconds until a delivery can be claimed; nil if no delivery waits for a time.

if redis.call('XLEN', stream) == 0 then
  return nil
end
if redis.call('ZCARD', returned) > 0 or redis.call('XLEN', stream) > redis.call('XPENDING', stream, group)[1] then
  return 0
end
local due
for _, waiting in ipairs({ leases, delayed }) do
  local at = tonumber(redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')[2])
  if at and (not due or at < due) then
    due = at
  end
end
return due and math.max(due - now, 0)
