-- See migrations/0008. The day is counted from 1970-01-01.
SELECT make_day($1, '1970-01-01'::date + $2::int)
