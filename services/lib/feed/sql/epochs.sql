-- The present life of each topic. A handful of rows.
SELECT topic, max(epoch) FROM log_epoch GROUP BY topic
