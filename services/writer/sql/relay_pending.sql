-- How many rows wait (counted up to a bound) and for how long the oldest has, in milliseconds. Index:
-- tern_outbox_pending.
SELECT (SELECT count(*) FROM (SELECT FROM tern_outbox WHERE error IS NULL LIMIT 100000) AS counted),
       (SELECT (extract(epoch FROM now() - created_at) * 1000)::bigint FROM tern_outbox WHERE error IS NULL ORDER BY position LIMIT 1)
