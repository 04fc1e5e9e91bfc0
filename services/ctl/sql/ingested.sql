-- How far the archive has read each partition, in the newest life of its topic: log_epoch's and ingest_offset's primary keys.
SELECT i.topic, i.partition, i.epoch, i.next_offset, (extract(epoch FROM now() - i.updated_at) * 1000)::bigint
FROM ingest_offset i
JOIN (SELECT topic, max(epoch) AS epoch FROM log_epoch GROUP BY topic) e USING (topic, epoch)
ORDER BY i.topic, i.partition
