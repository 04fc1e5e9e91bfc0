-- Only when a plain COPY found a row there already: a place that was set back. Index: chat_event's primary key.
INSERT INTO chat_event SELECT * FROM stage_chat_event ON CONFLICT DO NOTHING
