-- Which of them were stored before, under another seq. Index: message's primary key.
SELECT s.id FROM stage_message s JOIN message m ON m.id = s.id WHERE m.seq <> s.seq
