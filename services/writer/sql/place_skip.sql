-- The log was cut before the writer had read it: the place moves to the log's start, and the archive is complete only from there.
UPDATE ingest_offset SET next_offset = $5::bigint, complete_from = $5::bigint, last_timestamp_ms = NULL, last_id_hash = NULL, updated_at = now()
 WHERE topic = $1 AND partition = $2::int AND epoch = $3::int AND next_offset = $4::bigint
