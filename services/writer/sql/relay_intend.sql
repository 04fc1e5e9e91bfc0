-- Before the records of a batch are sent: where they may come to stand. What was intended before stays, being older. Index:
-- relay_intent's primary key.
INSERT INTO relay_intent (topic, partition, from_offset)
SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[]) ON CONFLICT DO NOTHING
