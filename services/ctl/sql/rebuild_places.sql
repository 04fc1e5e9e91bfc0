-- Where each partition stands, and from where its rows are complete, in the newest life of its topic. ingest_offset's and log_epoch's primary keys.
SELECT i.topic, i.partition, i.epoch, i.next_offset, i.complete_from, e.partitions
  FROM ingest_offset i
  JOIN (SELECT DISTINCT ON (topic) topic, epoch, partitions FROM log_epoch ORDER BY topic, epoch DESC) e USING (topic, epoch)
 ORDER BY i.topic, i.partition
