-- What stays in Postgres, because others' rights and the order of rooms rest on it. Indexes: member_user; a scan of conversation.
SELECT (SELECT count(*) FROM member WHERE user_id = $1), (SELECT count(*) FROM conversation WHERE created_by = $1)
