-- A conversation with its members and what each has read, the asking user's row first.
-- Indexes: conversation's, member's and receipt's primary keys.
SELECT c.id IS NOT NULL,
       c.title,
       coalesce(c.open, false),
       c.created_by,
       (extract(epoch FROM c.created_at) * 1000)::bigint,
       m.user_id,
       m.role,
       m.added_seq,
       m.removed_seq,
       r.read_seq
  FROM (SELECT $1::text AS id) AS asked
  LEFT JOIN conversation c ON c.id = asked.id
  LEFT JOIN member m ON m.conversation_id = asked.id
  LEFT JOIN receipt r ON r.conversation_id = asked.id AND r.user_id = m.user_id
 ORDER BY (m.user_id = $2::text) DESC NULLS LAST
 LIMIT 20001
