-- A page of older records of some keys of one partition, in seq order; one descent of the primary key for each key.
SELECT e.conversation_id, e.seq, e.type, e.id, e.data, (extract(epoch FROM e.created_at) * 1000)::bigint
  FROM unnest($1::text[]) AS k(key)
 CROSS JOIN LATERAL (
       SELECT conversation_id, seq, type, id, data, created_at
         FROM chat_event
        WHERE conversation_id = k.key AND seq >= $2::bigint AND seq < $3::bigint AND partition = $4::int
        ORDER BY seq
        LIMIT $5::int) AS e
 ORDER BY e.seq
 LIMIT $5::int
