-- These copies stand in the log, and the place is moved past their originals in this transaction. Index: rekey's primary key.
DELETE FROM rekey r
 USING unnest($1::text[], $2::int[], $3::int[], $4::bigint[]) AS d (topic, partition, epoch, record_offset)
 WHERE r.topic = d.topic AND r.partition = d.partition AND r.epoch = d.epoch AND r.record_offset = d.record_offset
