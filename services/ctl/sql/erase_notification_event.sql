-- Catch-up of notifications. Index: notification_event's primary key.
UPDATE notification_event SET data = format('{"userId":"%s","type":"erased","title":"","body":""}', key)
 WHERE topic = 'notifications' AND key = $1 AND type = 'tern.notification.created' AND created_at <= to_timestamp($2::bigint / 1000.0)
