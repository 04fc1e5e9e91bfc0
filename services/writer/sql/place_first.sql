-- A partition's first place: what lies before it has left the log already.
INSERT INTO ingest_offset (topic, partition, epoch, next_offset, complete_from)
VALUES ($1, $2::int, $3::int, $4::bigint, $4::bigint) ON CONFLICT DO NOTHING
