-- Conversations, who is in them and what they have read. No foreign keys: a record may come before what it names.

CREATE TABLE conversation (
    id         text COLLATE "C" PRIMARY KEY,
    seq        bigint NOT NULL,
    created_at timestamptz NOT NULL,
    title      text,
    open       boolean NOT NULL,
    created_by text COLLATE "C" NOT NULL
);

-- A member is in while added_seq > coalesce(removed_seq, 0). One who was only ever removed has added_seq 0.
CREATE TABLE member (
    conversation_id text COLLATE "C" NOT NULL,
    user_id         text COLLATE "C" NOT NULL,
    role            text,
    added_seq       bigint NOT NULL,
    removed_seq     bigint,
    PRIMARY KEY (conversation_id, user_id)
);

-- The conversations of a user.
CREATE INDEX member_user ON member (user_id, conversation_id);

-- How far a user has read a conversation.
CREATE TABLE receipt (
    conversation_id text COLLATE "C" NOT NULL,
    user_id         text COLLATE "C" NOT NULL,
    read_seq        bigint NOT NULL,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, user_id)
) WITH (fillfactor = 80);
