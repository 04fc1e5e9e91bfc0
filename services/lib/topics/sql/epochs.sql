-- The newest life of each topic. A handful of rows: log_epoch's primary key.
SELECT DISTINCT ON (topic) topic, epoch, cluster_id, partitions
FROM log_epoch
ORDER BY topic, epoch DESC
