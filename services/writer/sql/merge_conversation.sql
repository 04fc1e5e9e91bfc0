-- A conversation's first record makes it. Index: conversation's primary key.
INSERT INTO conversation SELECT DISTINCT ON (id) * FROM stage_conversation ORDER BY id, seq ON CONFLICT (id) DO NOTHING
