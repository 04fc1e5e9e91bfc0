-- A user's own notifications that were read, the first time. Index: notification's primary key.
UPDATE notification n
   SET read_at = s.read_at
  FROM (SELECT id, user_id, min(read_at) AS read_at FROM stage_read GROUP BY id, user_id) AS s
 WHERE n.id = s.id AND n.user_id = s.user_id AND n.read_at IS NULL
