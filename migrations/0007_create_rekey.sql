-- Records that are being published again under their right key or partition: written before the copy is sent, deleted with the
-- record's own progress. A writer that finds a row here looks for the copy from target_offset on before it sends another.
CREATE TABLE rekey (
    topic            text COLLATE "C" NOT NULL,
    partition        int NOT NULL,
    epoch            int NOT NULL,
    record_offset    bigint NOT NULL,
    target_partition int NOT NULL,
    target_offset    bigint NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, epoch, record_offset)
);
