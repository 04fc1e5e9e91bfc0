-- Moves the places of a transaction's partitions. A partition that does not come back was moved by another writer, or its topic
-- is in a new life. Tells how new the list of erased users is. Indexes: the primary keys of ingest_offset and log_epoch,
-- erased_user_version.
UPDATE ingest_offset o
   SET next_offset = p.after, last_timestamp_ms = p.timestamp_ms, last_id_hash = p.id_hash, updated_at = now()
  FROM unnest($1::text[], $2::int[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
       AS p (topic, partition, epoch, before, after, timestamp_ms, id_hash)
 WHERE o.topic = p.topic AND o.partition = p.partition AND o.epoch = p.epoch AND o.next_offset = p.before
   AND NOT EXISTS (SELECT FROM log_epoch l WHERE l.topic = p.topic AND l.epoch > p.epoch)
RETURNING o.topic, o.partition, (SELECT coalesce(max(version), 0) FROM erased_user)
