-- These rows are no valid records. Index: tern_outbox's primary key.
UPDATE tern_outbox o SET error = e.error FROM json_to_recordset($1::json) AS e (position bigint, error text) WHERE o.position = e.position
