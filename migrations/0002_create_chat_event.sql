-- Every durable record of chat.events as it stood in the log, for resumes that are older than the gateways' tails.
-- conversation_id is the record's key: a conversation, or user:<id>. created_at is the record's timestamp in Kafka.
--
-- One table a day (the writer makes and drops them); what fits no day goes to the default one. The primary key is the
-- only index: a resume asks for some keys and a range of seq. It holds created_at because a partitioned table's keys must.
CREATE TABLE chat_event (
    seq             bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    epoch           int NOT NULL,
    partition       int NOT NULL,
    conversation_id text COLLATE "C" NOT NULL,
    type            text COLLATE "C" NOT NULL,
    id              text COLLATE "C" NOT NULL,
    data            text NOT NULL,
    PRIMARY KEY (conversation_id, seq, partition, created_at)
) PARTITION BY RANGE (created_at);

CREATE TABLE chat_event_default PARTITION OF chat_event DEFAULT;
