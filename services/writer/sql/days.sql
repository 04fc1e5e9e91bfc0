-- The days, counted from 1970-01-01, that have a table of both kinds.
SELECT to_date(right(relname, 8), 'YYYYMMDD') - '1970-01-01'::date
  FROM pg_class
 WHERE relname ~ '^(chat|notification)_event_[0-9]{8}$' AND relkind = 'r' AND pg_table_is_visible(oid)
 GROUP BY 1 HAVING count(*) = 2
