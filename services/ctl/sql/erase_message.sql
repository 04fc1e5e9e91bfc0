-- Messages themselves. A scan of message.
UPDATE message SET content = '[erased]', content_type = NULL, reply_to = NULL, client_id = NULL, metadata = NULL
 WHERE sender_id = $1 AND created_at <= to_timestamp($2::bigint / 1000.0)
