-- A user's unread notifications, newest first. Index: the partial one on notification (user_id, seq) where unread.
SELECT n.id, n.seq
  FROM notification n
  LEFT JOIN read_state s ON s.user_id = n.user_id
 WHERE n.user_id = $1::text AND n.read_at IS NULL AND n.seq > coalesce(s.read_all_seq, 0)
 ORDER BY n.seq DESC
 LIMIT 100000
