-- The first seq at or after a time, of a user's notifications and of broadcasts to all.
-- Indexes: notification (user_id, seq); broadcast is small.
SELECT (SELECT min(seq) FROM notification_event WHERE topic = 'notifications' AND key = $1::text
           AND created_at >= to_timestamp($2::bigint / 1000.0)),
       (SELECT min(seq) FROM notification_event WHERE topic = 'broadcasts'
           AND created_at >= to_timestamp($2::bigint / 1000.0))
