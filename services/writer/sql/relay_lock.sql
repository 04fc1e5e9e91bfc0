-- One writer relays at a time: the lock is the connection's, and the server drops both when nothing has come from it for a while.
SELECT pg_try_advisory_lock(hashtext('tern relay'), hashtext(current_schema()))
