-- Read up to the greatest seq, since the first record that said so, however they fell into batches. Index: receipt's primary key.
INSERT INTO receipt AS r (conversation_id, user_id, read_seq, updated_at)
SELECT DISTINCT ON (conversation_id, user_id) conversation_id, user_id, read_seq, updated_at
  FROM stage_receipt ORDER BY conversation_id, user_id, read_seq DESC, updated_at
    ON CONFLICT (conversation_id, user_id) DO UPDATE
   SET read_seq = excluded.read_seq, updated_at = excluded.updated_at
 WHERE excluded.read_seq > r.read_seq
