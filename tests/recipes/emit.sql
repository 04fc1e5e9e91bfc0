-- Emits from SQL, in the transaction of one's own work. usage: psql -v ON_ERROR_STOP=1 -v room=ROOM -f emit.sql DSN
BEGIN;
-- UPDATE orders SET shipped_at = now() WHERE id = 7;

-- To everybody in the room, durable: who is away gets it when he comes back.
INSERT INTO tern_outbox (key, event, args) VALUES (:'room', 'order_shipped', '[{"id":7}]');

-- To all devices of a user, with bytes.
INSERT INTO tern_outbox (key, event, args, attachments)
VALUES ('user:ada', 'picture', '[{"png":{"_placeholder":true,"num":0}}]', json_build_array(encode('\x89504e470d0a1a0a', 'base64')));

-- To who is there now, and to nobody later.
INSERT INTO tern_outbox (topic, key, event, args) VALUES ('chat.signals', :'room', 'progress', '[50]');
COMMIT;
