-- How many of a user's notifications are unread, the marks that only the log has yet taken into account: everything up
-- to the seq $2, and the ids of the JSON array $3. Index: the partial one on notification (user_id, seq) where unread.
SELECT count(*)
  FROM notification n
  LEFT JOIN read_state s ON s.user_id = n.user_id
 WHERE n.user_id = $1::text
   AND n.read_at IS NULL
   AND n.seq > greatest(coalesce(s.read_all_seq, 0), $2::bigint)
   AND NOT EXISTS (SELECT FROM json_array_elements_text($3::json) AS marked(id) WHERE marked.id = n.id)
