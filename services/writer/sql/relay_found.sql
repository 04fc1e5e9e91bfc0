-- The records of these ids were found in the log. Index: tern_outbox_id_key.
DELETE FROM tern_outbox WHERE id IN (SELECT json_array_elements_text($1::json))
