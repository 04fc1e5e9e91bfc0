-- These rows' records stand in the log. Index: tern_outbox's primary key.
DELETE FROM tern_outbox WHERE position = ANY ($1::bigint[])
