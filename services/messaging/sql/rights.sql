-- A user's membership of some conversations, and how far the archive reaches in the partition of each.
-- $2 and $3 go together: ids and their partitions; $4 is the epoch of chat.events.
-- Indexes: member's and ingest_offset's primary keys.
SELECT asked.id, m.added_seq, m.removed_seq, i.next_offset
  FROM unnest($2::text[], $3::int[]) AS asked(id, partition)
  LEFT JOIN member m ON m.conversation_id = asked.id AND m.user_id = $1::text
  LEFT JOIN ingest_offset i
         ON i.topic = 'chat.events' AND i.partition = asked.partition AND i.epoch = $4::int
