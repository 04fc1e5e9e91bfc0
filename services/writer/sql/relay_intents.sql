-- What a predecessor intended. A handful of rows.
SELECT topic, partition, from_offset FROM relay_intent
