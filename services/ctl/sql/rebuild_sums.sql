-- A sum over the hashes of all rows, table by table, before and after alike. Rows that only grow in number are taken up to the first record
-- that a key got meanwhile (rb_bound is empty before); rows that change are summed for each key, and left out later if theirs was touched.
INSERT INTO rb_sum
SELECT (SELECT phase FROM rb_phase), x.part, x.key, x.rows, coalesce(x.sum, 0)
  FROM (SELECT 'message' AS part, '' AS key, count(*) AS rows, sum(hashtextextended(m::text, 0)::numeric) AS sum
          FROM message m LEFT JOIN rb_bound b ON b.class = 'c' AND b.key = m.conversation_id
         WHERE (b.seq IS NULL OR m.seq < b.seq)
        UNION ALL
        SELECT 'conversation', '', count(*), sum(hashtextextended(c::text, 0)::numeric)
          FROM conversation c LEFT JOIN rb_bound b ON b.class = 'c' AND b.key = c.id
         WHERE (b.seq IS NULL OR c.seq < b.seq)
        UNION ALL
        SELECT 'chat_event', '', count(*), sum(hashtextextended(c::text, 0)::numeric)
          FROM chat_event c LEFT JOIN rb_bound b ON b.class = 'c' AND b.key = c.conversation_id
         WHERE (b.seq IS NULL OR c.seq < b.seq)
        UNION ALL
        SELECT 'notification', '', count(*),
               sum(hashtextextended(ROW(n.id, n.seq, n.created_at, n.user_id, n.type, n.title, n.body, n.data::text)::text, 0)::numeric)
          FROM notification n LEFT JOIN rb_bound b ON b.class = 'n' AND b.key = n.user_id
         WHERE (b.seq IS NULL OR n.seq < b.seq)
        UNION ALL
        SELECT 'broadcast', '', count(*), sum(hashtextextended(r::text, 0)::numeric)
          FROM broadcast r LEFT JOIN rb_bound b ON b.class = 'b' AND b.key = r.audience
         WHERE (b.seq IS NULL OR r.seq < b.seq)
        UNION ALL
        SELECT 'notification_event', '', count(*), sum(hashtextextended(n::text, 0)::numeric)
          FROM notification_event n
          LEFT JOIN rb_bound b ON b.class = CASE n.topic WHEN 'broadcasts' THEN 'b' ELSE 'n' END AND b.key = n.key
         WHERE (b.seq IS NULL OR n.seq < b.seq)
        UNION ALL
        SELECT 'event_id', '', count(*), sum(hashtextextended(e.id, 0)::numeric) FROM event_id e JOIN rb_event_id r ON r.id = e.id
        UNION ALL
        SELECT 'member', conversation_id, count(*), sum(hashtextextended(m::text, 0)::numeric) FROM member m GROUP BY 2
        UNION ALL
        SELECT 'receipt', conversation_id || '/' || user_id, count(*), sum(hashtextextended(r::text, 0)::numeric) FROM receipt r GROUP BY 2
        UNION ALL
        SELECT 'session', pid_hash, count(*), sum(hashtextextended(s::text, 0)::numeric) FROM session s GROUP BY 2
        UNION ALL
        SELECT 'read_state', user_id, count(*), sum(hashtextextended(r::text, 0)::numeric) FROM read_state r GROUP BY 2
        UNION ALL
        SELECT 'read_at', user_id, count(*), sum(hashtextextended(id || ' ' || read_at, 0)::numeric)
          FROM notification WHERE read_at IS NOT NULL GROUP BY 2) AS x
