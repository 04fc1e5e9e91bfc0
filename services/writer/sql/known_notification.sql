-- Which of them were stored before, under another seq. Index: notification's primary key.
SELECT s.id FROM stage_notification s JOIN notification n ON n.id = s.id WHERE n.seq <> s.seq
