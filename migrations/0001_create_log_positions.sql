-- Lives of the log, and how far each of them has been read into the archive.

-- One row for each life of a topic. seq = epoch * 2^40 + offset; older records are judged by the partition count of
-- their own epoch.
CREATE TABLE log_epoch (
    topic      text COLLATE "C" NOT NULL,
    epoch      int NOT NULL,
    cluster_id text NOT NULL,
    partitions int NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, epoch)
);

-- The writer's place: moved in the transaction that writes the rows, and the fence between two writers.
-- All records in [complete_from, next_offset) are in the archive: below it they were dropped with their day, or had
-- left the log before they were read.
-- last_timestamp_ms and last_id_hash describe the record at next_offset - 1 (murmur2 of its ce_id header); NULL if no
-- record stands there.
CREATE TABLE ingest_offset (
    topic             text COLLATE "C" NOT NULL,
    partition         int NOT NULL,
    epoch             int NOT NULL,
    next_offset       bigint NOT NULL,
    complete_from     bigint NOT NULL DEFAULT 0,
    last_timestamp_ms bigint,
    last_id_hash      bigint,
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, epoch)
) WITH (fillfactor = 40); -- some hundred rows that change many times a second: room for updates in place
