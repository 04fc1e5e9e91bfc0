-- Everything up to a seq was read. Index: read_state's primary key.
INSERT INTO read_state AS r (user_id, read_all_seq, updated_at)
SELECT user_id, max(read_all_seq), max(updated_at) FROM stage_read_all GROUP BY user_id
    ON CONFLICT (user_id) DO UPDATE
   SET read_all_seq = excluded.read_all_seq, updated_at = excluded.updated_at
 WHERE excluded.read_all_seq > r.read_all_seq
