-- As merge_chat_event. Index: notification_event's primary key.
INSERT INTO notification_event SELECT * FROM stage_notification_event ON CONFLICT DO NOTHING
