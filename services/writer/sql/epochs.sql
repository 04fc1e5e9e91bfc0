-- The newest life of each topic. A handful of rows: log_epoch's primary key.
SELECT DISTINCT ON (topic) topic, epoch, partitions FROM log_epoch WHERE topic = ANY ($1::text[]) ORDER BY topic, epoch DESC
