-- A user's notifications below a seq, newest first, with what read-all covers.
-- Index: notification (user_id, seq).
SELECT n.id, n.seq, n.type, n.title, n.body, n.data::text,
       (extract(epoch FROM n.created_at) * 1000)::bigint,
       (n.read_at IS NOT NULL OR n.seq <= coalesce(s.read_all_seq, 0))
  FROM notification n
  LEFT JOIN read_state s ON s.user_id = n.user_id
 WHERE n.user_id = $1::text AND n.seq < $2::bigint
   AND ($4::bool IS FALSE OR (n.read_at IS NULL AND n.seq > coalesce(s.read_all_seq, 0)))
 ORDER BY n.seq DESC
 LIMIT $3::int
