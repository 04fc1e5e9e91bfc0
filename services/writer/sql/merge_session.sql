-- One row a session: the fold of the batch over what session_owners said. Index: session's primary key.
INSERT INTO session SELECT * FROM stage_session
    ON CONFLICT (pid_hash) DO UPDATE
   SET gen = excluded.gen, seq = excluded.seq, updated_at = excluded.updated_at, closed = excluded.closed,
       sid = excluded.sid, sub = excluded.sub, gateway = excluded.gateway, rooms = excluded.rooms
