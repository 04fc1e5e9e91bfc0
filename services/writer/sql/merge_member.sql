-- By seq, so that it does not matter how often or in which batches the records come. Index: member's primary key.
INSERT INTO member AS m (conversation_id, user_id, role, added_seq, removed_seq)
SELECT conversation_id, user_id,
       (array_agg(role ORDER BY seq DESC) FILTER (WHERE added))[1],
       coalesce(max(seq) FILTER (WHERE added), 0),
       max(seq) FILTER (WHERE NOT added)
  FROM stage_member
 GROUP BY conversation_id, user_id
    ON CONFLICT (conversation_id, user_id) DO UPDATE
   SET role = CASE WHEN excluded.added_seq > m.added_seq THEN excluded.role ELSE m.role END,
       added_seq = greatest(m.added_seq, excluded.added_seq),
       removed_seq = greatest(m.removed_seq, excluded.removed_seq)
