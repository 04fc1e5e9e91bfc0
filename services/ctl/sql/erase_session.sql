-- The user's sessions: a client that comes back begins a new one. A scan of session.
DELETE FROM session WHERE sub = $1 AND updated_at <= to_timestamp($2::bigint / 1000.0)
