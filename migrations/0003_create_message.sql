-- Messages, for ever. The primary key is what makes a message stored once, however often it was sent.
CREATE TABLE message (
    id              text COLLATE "C" PRIMARY KEY,
    seq             bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    sender_id       text COLLATE "C" NOT NULL,
    content         text NOT NULL,
    content_type    text,
    reply_to        text,
    client_id       text,
    metadata        json
);

-- History of a conversation, either way from a seq.
CREATE INDEX message_conversation ON message (conversation_id, seq);

-- Ids of the durable events that leave no row with their id elsewhere: the same promise for them.
CREATE TABLE event_id (
    id text COLLATE "C" PRIMARY KEY
);
