-- A user's last change of membership in a range of some conversations, and how far the archive reaches in the partition of each. $2, $3,
-- $5 and $6 go together: ids, their partitions, and the ranges as seqs; $4 is the epoch of chat.events. The member's row does not
-- tell: it knows the newest addition and removal alone, and both may lie behind the range.
-- Indexes: chat_event's and ingest_offset's primary keys.
SELECT asked.id, change.type, i.next_offset
  FROM unnest($2::text[], $3::int[], $5::bigint[], $6::bigint[]) AS asked(id, partition, since, until)
  LEFT JOIN LATERAL (
       SELECT e.type
         FROM chat_event e
        WHERE e.conversation_id = asked.id AND e.seq >= asked.since AND e.seq < asked.until
          AND e.type IN ('tern.member.added', 'tern.member.removed')
          AND e.data::json->>'userId' = $1::text
        ORDER BY e.seq DESC
        LIMIT 1) AS change ON true
  LEFT JOIN ingest_offset i
         ON i.topic = 'chat.events' AND i.partition = asked.partition AND i.epoch = $4::int
