-- Index: message's primary key.
INSERT INTO message SELECT * FROM stage_message ON CONFLICT (id) DO NOTHING
