-- A topic that nobody has registered a life of is in its first.
INSERT INTO log_epoch (topic, epoch, cluster_id, partitions) VALUES ($1, 1, $2, $3::int) ON CONFLICT DO NOTHING
