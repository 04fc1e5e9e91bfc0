-- How far the archive has read each partition of a topic's life, and the last record it read: ingest_offset's primary key.
SELECT partition, next_offset, last_timestamp_ms, last_id_hash
FROM ingest_offset
WHERE topic = $1 AND epoch = $2
ORDER BY partition
