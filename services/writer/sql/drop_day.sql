-- See migrations/0008.
SELECT drop_day($1, $2::timestamptz)
