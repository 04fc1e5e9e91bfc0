-- Index: notification's primary key.
INSERT INTO notification SELECT * FROM stage_notification ON CONFLICT (id) DO NOTHING
