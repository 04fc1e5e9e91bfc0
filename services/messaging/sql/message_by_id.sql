-- Whether a message is stored. Index: message's primary key.
SELECT seq, (extract(epoch FROM created_at) * 1000)::bigint FROM message WHERE id = $1::text
