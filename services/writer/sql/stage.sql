-- Where COPY puts the rows of a transaction before they meet those that are there: several statements, run once on each
-- connection. They have no index and no log, and are empty again after each transaction.
CREATE TEMP TABLE stage_message (LIKE message) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_notification (LIKE notification) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_broadcast (LIKE broadcast) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_event_id (LIKE event_id) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_chat_event (LIKE chat_event) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_notification_event (LIKE notification_event) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_conversation (LIKE conversation) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_member (conversation_id text COLLATE "C", user_id text COLLATE "C", role text, seq bigint, added boolean) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_receipt (LIKE receipt) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_session (LIKE session) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_read (id text COLLATE "C", user_id text COLLATE "C", read_at timestamptz) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_read_all (user_id text COLLATE "C", read_all_seq bigint, updated_at timestamptz) ON COMMIT DELETE ROWS;
-- Temporary tables have no statistics, and the tables that they meet are large: a plan must go by the index.
SET enable_hashjoin = off;
SET enable_mergejoin = off;
