-- How far each partition has been written, in every life of its topic. Some hundred rows: ingest_offset's primary key.
SELECT topic, partition, epoch, next_offset, sent_before FROM ingest_offset WHERE topic = ANY ($1::text[])
