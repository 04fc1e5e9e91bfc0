-- How far the user has read. A scan of receipt.
DELETE FROM receipt WHERE user_id = $1 AND updated_at <= to_timestamp($2::bigint / 1000.0)
