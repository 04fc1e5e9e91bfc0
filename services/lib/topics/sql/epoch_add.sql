-- A life of a topic; one that is known stays as it is.
INSERT INTO log_epoch (topic, epoch, cluster_id, partitions, grown_from)
VALUES ($1, $2, $3, $4, $5::bigint[])
ON CONFLICT DO NOTHING
