-- Of the lives of topics that have grown, each partition of the life before: where the log ended, by how many partitions it was
-- judged, and how far it was written. A handful of rows: the primary keys of log_epoch and ingest_offset.
SELECT l.topic, l.epoch, i - 1, l.grown_from[i], b.partitions, coalesce(o.next_offset, 0)
  FROM log_epoch l
 CROSS JOIN LATERAL generate_subscripts(l.grown_from, 1) AS i
  JOIN log_epoch b ON b.topic = l.topic AND b.epoch = l.epoch - 1
  LEFT JOIN ingest_offset o ON o.topic = l.topic AND o.partition = i - 1 AND o.epoch = l.epoch - 1
 WHERE l.topic = ANY ($1::text[])
