-- A conversation with its members and what each has read, the asking user's row first, at most $3 others.
-- Indexes: conversation's, member's and receipt's primary keys.
SELECT c.id IS NOT NULL,
       c.title,
       coalesce(c.open, false),
       c.created_by,
       (extract(epoch FROM c.created_at) * 1000)::bigint,
       c.seq,
       m.user_id,
       m.role,
       m.added_seq,
       m.removed_seq,
       r.read_seq
  FROM (SELECT $1::text AS id) AS asked
  LEFT JOIN conversation c ON c.id = asked.id
  LEFT JOIN ((SELECT 0 AS place, user_id, role, added_seq, removed_seq
                FROM member
               WHERE conversation_id = $1::text AND user_id = $2::text)
             UNION ALL
             (SELECT 1, user_id, role, added_seq, removed_seq
                FROM member
               WHERE conversation_id = $1::text AND user_id <> $2::text
               LIMIT $3::int)) AS m ON true
  LEFT JOIN receipt r ON r.conversation_id = asked.id AND r.user_id = m.user_id
 ORDER BY m.place
