-- The owner's newest record of a session. Index: session's primary key.
SELECT sid, sub, gen, gateway, rooms::text, closed FROM session WHERE pid_hash = $1::text
