-- Waits for the writers' transactions under way, and holds the next ones up until this one is over.
LOCK TABLE ingest_offset IN EXCLUSIVE MODE
