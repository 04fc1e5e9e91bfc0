-- Events that backends emitted to the user's devices. Index: chat_event's primary key.
UPDATE chat_event SET data = '{"event":"erased","args":[]}'
 WHERE conversation_id = 'user:' || $1 AND type = 'tern.emit' AND created_at <= to_timestamp($2::bigint / 1000.0)
