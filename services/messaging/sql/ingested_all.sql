-- Whether the archive has all records of chat.events below the given offsets, one for each partition; $2 is the epoch.
-- Index: ingest_offset's primary key.
SELECT coalesce(bool_and(coalesce(i.next_offset, 0) >= wanted.offset_), true)
  FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted(offset_, number)
  LEFT JOIN ingest_offset i
         ON i.topic = 'chat.events' AND i.partition = wanted.number - 1 AND i.epoch = $2::int
