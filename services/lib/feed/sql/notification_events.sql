-- As chat_events.sql, for notifications and broadcasts.
SELECT e.key, e.seq, e.type, e.id, e.data, (extract(epoch FROM e.created_at) * 1000)::bigint
  FROM unnest($1::text[]) AS k(key)
 CROSS JOIN LATERAL (
       SELECT n.key, n.seq, n.type, n.id, n.data, n.created_at
         FROM notification_event AS n
        WHERE n.topic = $6::text AND n.key = k.key AND n.seq >= $2::bigint AND n.seq < $3::bigint AND n.partition = $4::int
        ORDER BY n.seq
        LIMIT $5::int) AS e
 ORDER BY e.seq
 LIMIT $5::int
