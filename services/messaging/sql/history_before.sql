-- The newest messages below a seq and above another, newest first. Index: message (conversation_id, seq).
SELECT id, seq, sender_id, content, content_type, reply_to, metadata::text, client_id,
       (extract(epoch FROM created_at) * 1000)::bigint
  FROM message
 WHERE conversation_id = $1::text AND seq < $2::bigint
 ORDER BY seq DESC
 LIMIT $3::int
