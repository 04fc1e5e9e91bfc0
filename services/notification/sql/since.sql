-- The first seq at or after a time, of a user's notifications and of broadcasts, and how far the archive reaches in
-- broadcasts ($3: their epoch). Indexes: notification_event's primary key; ingest_offset's.
SELECT (SELECT min(seq) FROM notification_event WHERE topic = 'notifications' AND key = $1::text
           AND created_at >= to_timestamp($2::bigint / 1000.0)),
       (SELECT min(seq) FROM notification_event WHERE topic = 'broadcasts'
           AND created_at >= to_timestamp($2::bigint / 1000.0)),
       (SELECT next_offset FROM ingest_offset
         WHERE topic = 'broadcasts' AND partition = 0 AND epoch = $3::int)
