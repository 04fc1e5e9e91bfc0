-- Read up to the greatest seq. Index: receipt's primary key.
INSERT INTO receipt AS r (conversation_id, user_id, read_seq, updated_at)
SELECT conversation_id, user_id, max(read_seq), max(updated_at) FROM stage_receipt GROUP BY conversation_id, user_id
    ON CONFLICT (conversation_id, user_id) DO UPDATE
   SET read_seq = excluded.read_seq, updated_at = excluded.updated_at
 WHERE excluded.read_seq > r.read_seq
