-- The keys whose rows may have to go; ternctl tells their partitions. Scans, but for rows of before any partition's start.
SELECT 'c', conversation_id FROM message WHERE seq >= (SELECT min(start_seq) FROM rb_part WHERE topic = 'chat.events')
 UNION SELECT 'c', id FROM conversation WHERE seq >= (SELECT min(start_seq) FROM rb_part WHERE topic = 'chat.events')
 UNION SELECT 'c', conversation_id FROM member
 UNION SELECT 'r', conversation_id || '/' || user_id FROM receipt
 UNION SELECT 's', pid_hash FROM session
 UNION SELECT 'n', user_id FROM notification WHERE seq >= (SELECT min(start_seq) FROM rb_part WHERE topic = 'notifications')
 UNION SELECT 'n', user_id FROM read_state
 UNION SELECT 'b', audience FROM broadcast
