-- The conversations of a user after an id. Indexes: member (user_id), conversation's primary key.
SELECT m.conversation_id, c.title, coalesce(c.open, false), c.created_by,
       (extract(epoch FROM c.created_at) * 1000)::bigint, m.role
  FROM member m
  LEFT JOIN conversation c ON c.id = m.conversation_id
 WHERE m.user_id = $1::text
   AND m.added_seq > coalesce(m.removed_seq, 0)
   AND m.conversation_id > $2::text
 ORDER BY m.conversation_id
 LIMIT 201
