-- Returns the ids that are new: those of the batch that do not come back occurred before, as an event or as a message. Indexes:
-- the primary keys of event_id and message.
INSERT INTO event_id
SELECT s.id FROM stage_event_id s WHERE NOT EXISTS (SELECT FROM message m WHERE m.id = s.id)
    ON CONFLICT (id) DO NOTHING
RETURNING id
