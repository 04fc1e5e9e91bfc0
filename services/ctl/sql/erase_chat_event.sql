-- Catch-up of messages; the same bytes as the writer gives such a record from now on. A scan of message, then chat_event's primary key.
UPDATE chat_event c
   SET data = format('{"conversationId":"%s","senderId":"%s","content":"[erased]"}', m.conversation_id, m.sender_id)
  FROM message m
 WHERE m.sender_id = $1 AND m.created_at <= to_timestamp($2::bigint / 1000.0)
   AND c.conversation_id = m.conversation_id AND c.seq = m.seq AND c.type = 'tern.message.created'
