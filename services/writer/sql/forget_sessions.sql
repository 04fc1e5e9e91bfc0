-- Sessions that nobody can resume any more, some at a time. A scan of the table, once an hour.
DELETE FROM session WHERE ctid = ANY (ARRAY(SELECT ctid FROM session WHERE updated_at < $1::timestamptz LIMIT 10000))
