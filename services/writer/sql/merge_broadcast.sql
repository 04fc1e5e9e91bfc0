-- Index: broadcast's primary key.
INSERT INTO broadcast SELECT * FROM stage_broadcast ON CONFLICT (id) DO NOTHING
