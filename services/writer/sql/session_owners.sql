-- Who owns these sessions so far. Index: session's primary key.
SELECT s.pid_hash, s.gen, s.gateway, s.seq FROM unnest($1::text[]) AS p (pid_hash) JOIN session s ON s.pid_hash = p.pid_hash
