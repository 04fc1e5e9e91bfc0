-- Everything goes that the log brings again; several statements, in the transaction that sets the places back.
ANALYZE rb_key;
ANALYZE rb_event_id;
DELETE FROM event_id e USING rb_event_id r WHERE e.id = r.id;
DELETE FROM chat_event c USING rb_part p WHERE p.topic = 'chat.events' AND p.partition = c.partition AND p.epoch = c.epoch AND c.seq >= p.start_seq;
DELETE FROM notification_event n USING rb_part p WHERE p.topic = n.topic AND p.partition = n.partition AND p.epoch = n.epoch AND n.seq >= p.start_seq;
DELETE FROM message m USING rb_key k WHERE k.class = 'c' AND k.key = m.conversation_id AND m.seq >= k.start_seq;
DELETE FROM conversation c USING rb_key k WHERE k.class = 'c' AND k.key = c.id AND c.seq >= k.start_seq;
DELETE FROM notification n USING rb_key k WHERE k.class = 'n' AND k.key = n.user_id AND n.seq >= k.start_seq;
DELETE FROM broadcast b USING rb_key k WHERE k.class = 'b' AND k.key = b.audience AND b.seq >= k.start_seq;
DELETE FROM session s USING rb_key k WHERE k.class = 's' AND k.key = s.pid_hash AND s.seq >= k.start_seq;
-- These say when they changed last, not by which record.
DELETE FROM receipt r USING rb_key k WHERE k.class = 'r' AND k.key = r.conversation_id || '/' || r.user_id AND r.updated_at > k.since;
DELETE FROM read_state r USING rb_key k WHERE k.class = 'n' AND k.key = r.user_id AND r.updated_at > k.since;
-- Of a member only what the range brings again is forgotten.
UPDATE member m
   SET role = CASE WHEN m.added_seq >= k.start_seq THEN NULL ELSE m.role END,
       added_seq = CASE WHEN m.added_seq >= k.start_seq THEN 0 ELSE m.added_seq END,
       removed_seq = CASE WHEN m.removed_seq >= k.start_seq THEN NULL ELSE m.removed_seq END
  FROM rb_key k
 WHERE k.class = 'c' AND k.key = m.conversation_id AND (m.added_seq >= k.start_seq OR m.removed_seq >= k.start_seq);
DELETE FROM member WHERE added_seq = 0 AND removed_seq IS NULL;
UPDATE ingest_offset o
   SET next_offset = p.start, sent_before = greatest(o.sent_before, o.next_offset), last_timestamp_ms = NULL, last_id_hash = NULL, updated_at = now()
  FROM rb_part p
 WHERE o.topic = p.topic AND o.partition = p.partition AND o.epoch = p.epoch;
