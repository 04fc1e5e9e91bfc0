-- Where a user's membership of some conversations ended. Index: member's primary key.
SELECT conversation_id, added_seq, removed_seq
  FROM member
 WHERE user_id = $1::text AND conversation_id = ANY ($2::text[]) AND removed_seq > added_seq
