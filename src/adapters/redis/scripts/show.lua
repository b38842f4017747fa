-- Describes one delivery.
-- ARGV: 1 id.

forget_expired()
return describe(ARGV[1])
