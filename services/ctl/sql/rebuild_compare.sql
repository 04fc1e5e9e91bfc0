-- Before and after, without the keys that changed meanwhile.
SELECT s.part,
       coalesce(sum(s.rows) FILTER (WHERE s.phase = 'before'), 0), coalesce(sum(s.sum) FILTER (WHERE s.phase = 'before'), 0),
       coalesce(sum(s.rows) FILTER (WHERE s.phase = 'after'), 0), coalesce(sum(s.sum) FILTER (WHERE s.phase = 'after'), 0)
  FROM rb_sum s
 WHERE NOT EXISTS (SELECT FROM rb_touched t WHERE t.part = s.part AND t.key = s.key)
 GROUP BY s.part ORDER BY s.part
