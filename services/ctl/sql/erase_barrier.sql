-- Waits for the writers' transactions under way; later ones know of the erasure.
LOCK TABLE ingest_offset IN EXCLUSIVE MODE
