-- Everything up to a seq was read, since the first record that said so, however they fell into batches. Index: read_state's primary key.
INSERT INTO read_state AS r (user_id, read_all_seq, updated_at)
SELECT DISTINCT ON (user_id) user_id, read_all_seq, updated_at FROM stage_read_all ORDER BY user_id, read_all_seq DESC, updated_at
    ON CONFLICT (user_id) DO UPDATE
   SET read_all_seq = excluded.read_all_seq, updated_at = excluded.updated_at
 WHERE excluded.read_all_seq > r.read_all_seq
