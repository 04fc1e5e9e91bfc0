-- Socket.IO sessions as their owner last wrote them: the newest gen, and of it the gateway whose record came first.
-- Live sessions are written again and again, so there is room for updates in place, and no index beside the key.
CREATE TABLE session (
    pid_hash   text COLLATE "C" PRIMARY KEY,
    gen        bigint NOT NULL,
    seq        bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    closed     boolean NOT NULL,
    sid        text NOT NULL,
    sub        text COLLATE "C" NOT NULL,
    gateway    text NOT NULL,
    rooms      json NOT NULL
) WITH (fillfactor = 60);
