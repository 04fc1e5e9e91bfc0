-- How much of one partition's epoch the archive has: all of [complete_from, next_offset). Index: the primary key.
SELECT next_offset, complete_from
  FROM ingest_offset
 WHERE topic = $1::text AND partition = $2::int AND epoch = $3::int
