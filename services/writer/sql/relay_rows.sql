-- The oldest rows, at most $1 of them and about $2 bytes. Index: tern_outbox_pending.
SELECT position, id, topic, key, type, source, traceparent, event, args, "except", attachments, nsp, data,
       (extract(epoch FROM created_at) * 1000)::bigint
  FROM (SELECT *, sum(bytes) OVER (ORDER BY position) - bytes AS before
          FROM (SELECT *, octet_length(coalesce(data, args, '[]')::text) + octet_length(coalesce(attachments, '[]')::text) AS bytes
                  FROM tern_outbox WHERE error IS NULL ORDER BY position LIMIT $1::int) AS oldest) AS counted
 WHERE before < $2::bigint
 ORDER BY position
