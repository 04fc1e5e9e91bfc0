-- Notifications and broadcasts: the records as they stood in the log, and what they amount to.

-- As chat_event, for the topics notifications (key: the user) and broadcasts (key: the audience).
CREATE TABLE notification_event (
    seq        bigint NOT NULL,
    created_at timestamptz NOT NULL,
    epoch      int NOT NULL,
    partition  int NOT NULL,
    topic      text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    type       text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    data       text NOT NULL,
    PRIMARY KEY (topic, key, seq, partition, created_at)
) PARTITION BY RANGE (created_at);

CREATE TABLE notification_event_default PARTITION OF notification_event DEFAULT;

CREATE TABLE notification (
    id         text COLLATE "C" PRIMARY KEY,
    seq        bigint NOT NULL,
    created_at timestamptz NOT NULL,
    read_at    timestamptz,
    user_id    text COLLATE "C" NOT NULL,
    type       text NOT NULL,
    title      text NOT NULL,
    body       text NOT NULL,
    data       json
);

-- A user's list, newest first, and the unread ones of it.
CREATE INDEX notification_user ON notification (user_id, seq);
CREATE INDEX notification_unread ON notification (user_id, seq) WHERE read_at IS NULL;

CREATE TABLE broadcast (
    id         text COLLATE "C" PRIMARY KEY,
    seq        bigint NOT NULL,
    created_at timestamptz NOT NULL,
    audience   text COLLATE "C" NOT NULL,
    type       text NOT NULL,
    title      text NOT NULL,
    body       text NOT NULL,
    data       json
);

-- Broadcasts of an audience, newest first.
CREATE INDEX broadcast_audience ON broadcast (audience, seq);

-- Everything up to read_all_seq counts as read, whatever notification.read_at says.
CREATE TABLE read_state (
    user_id      text COLLATE "C" PRIMARY KEY,
    read_all_seq bigint NOT NULL,
    updated_at   timestamptz NOT NULL
) WITH (fillfactor = 80);
