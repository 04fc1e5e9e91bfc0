-- The transactional outbox: any backend inserts here what Tern is to publish, in the transaction of its own work. A writer
-- relays each row once, in the order of insertion, and deletes it. A backend's role needs INSERT on this table alone:
--
--   INSERT INTO tern_outbox (key, event, args) VALUES ('team-7', 'order_shipped', '[{"id":7}]');
--   INSERT INTO tern_outbox (topic, key, type, data) VALUES ('notifications', 'ada', 'tern.notification.created',
--                            '{"type":"invoice","title":"Invoice 7","body":"is ready"}');
--
-- The second form holds the whole data of a record of any type; the first is for tern.emit, whose data is made of
-- the columns event, args, except, attachments and nsp.
CREATE TABLE tern_outbox (
    position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- ce_id: what repeats an id is shown and stored once.
    id          text COLLATE "C" NOT NULL DEFAULT gen_random_uuid()::text UNIQUE CHECK (octet_length(id) BETWEEN 1 AND 255),
    topic       text COLLATE "C" NOT NULL DEFAULT 'chat.events'
                CHECK (topic IN ('chat.events', 'chat.signals', 'notifications', 'broadcasts', 'control')),
    -- The room (a conversation's id, or user:<id>), the user, or the audience.
    key         text COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
    type        text COLLATE "C" NOT NULL DEFAULT 'tern.emit' CHECK (octet_length(type) BETWEEN 1 AND 255),
    source      text NOT NULL DEFAULT 'tern-outbox' CHECK (octet_length(source) BETWEEN 1 AND 255),
    event       text,
    args        json CHECK (json_typeof(args) = 'array' AND octet_length(args::text) <= 1000000),
    "except"    json CHECK (json_typeof("except") = 'array' AND octet_length("except"::text) <= 1000000),
    attachments json CHECK (json_typeof(attachments) = 'array' AND octet_length(attachments::text) <= 1000000),
    nsp         text,
    data        json CHECK (json_typeof(data) = 'object' AND octet_length(data::text) <= 1000000),
    traceparent text CHECK (octet_length(traceparent) <= 255),
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- Why it is no valid record; the relay passes over it. Whoever repairs the row sets this to NULL, or deletes it.
    error       text,
    CHECK ((data IS NULL) <> (event IS NULL))
);

CREATE INDEX tern_outbox_pending ON tern_outbox (position) WHERE error IS NULL;

-- Where the records of the batch under way may stand in the log: written before they are sent, deleted with their rows. Who
-- finds a row here reads the partition from there on, for what was sent already.
CREATE TABLE relay_intent (
    topic       text COLLATE "C" NOT NULL,
    partition   int NOT NULL,
    from_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);
