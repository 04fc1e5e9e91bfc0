-- Records before it had their dead letters and their copies under the right key: a place that was set back does not send them again.
ALTER TABLE ingest_offset ADD COLUMN sent_before bigint NOT NULL DEFAULT 0;
