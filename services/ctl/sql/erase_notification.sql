-- Notifications themselves. Index: notification_user.
UPDATE notification SET type = 'erased', title = '', body = '', data = NULL
 WHERE user_id = $1 AND created_at <= to_timestamp($2::bigint / 1000.0)
