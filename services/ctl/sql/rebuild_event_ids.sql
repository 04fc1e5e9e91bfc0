-- The ids of the events that will come again.
INSERT INTO rb_event_id
SELECT c.id FROM chat_event c JOIN rb_part p ON p.topic = 'chat.events' AND p.partition = c.partition AND p.epoch = c.epoch AND c.seq >= p.start_seq
 UNION
SELECT n.id FROM notification_event n JOIN rb_part p ON p.topic = n.topic AND p.partition = n.partition AND p.epoch = n.epoch AND n.seq >= p.start_seq
