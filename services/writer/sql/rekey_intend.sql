-- The intents to publish some records again; returns where to look for those that were intended before, which this
-- statement's own snapshot alone shows. Index: rekey's primary key.
WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::int[], $3::int[], $4::bigint[], $5::int[], $6::bigint[])
                  AS a (topic, partition, epoch, record_offset, target_partition, target_offset)
), fresh AS (
    INSERT INTO rekey (topic, partition, epoch, record_offset, target_partition, target_offset)
    SELECT * FROM asked ON CONFLICT DO NOTHING
)
SELECT r.topic, r.target_partition, min(r.target_offset)
  FROM asked a
  JOIN rekey r ON r.topic = a.topic AND r.partition = a.partition AND r.epoch = a.epoch AND r.record_offset = a.record_offset
 GROUP BY 1, 2
