-- Which of them were stored before, under another seq. Index: broadcast's primary key.
SELECT s.id FROM stage_broadcast s JOIN broadcast b ON b.id = s.id WHERE b.seq <> s.seq
