-- chat_event and notification_event are kept in one table a day, UTC: chat_event_20260131.

-- Makes a day of a parent table. What had gone to the default table for want of it moves in. True if it was made.
-- Attaching a finished table locks out no reader of the parent.
CREATE FUNCTION make_day(parent text, day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    child text := parent || to_char(day, '_YYYYMMDD');
    since timestamptz := day::timestamp AT TIME ZONE 'UTC';
    until timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('tern ' || parent));
    IF to_regclass(quote_ident(child)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', child, parent);
    EXECUTE format('WITH moved AS (DELETE FROM %I WHERE created_at >= %L AND created_at < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
                   parent || '_default', since, until, child);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child, since, until);
    RETURN true;
END
$$;

-- Drops the oldest day that ended before a time, and moves complete_from over it: what was there can no longer be
-- proven. Rows of the default table that are as old go with the last. Returns the table's name, NULL if there was none.
CREATE FUNCTION drop_day(parent text, before timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    child text;
    by_topic text := CASE WHEN parent = 'chat_event' THEN $q$'chat.events'$q$ ELSE 'topic' END;
    too_old text := '';
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('tern ' || parent));
    SELECT c.relname INTO child
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = to_regclass(quote_ident(parent))
       AND c.relname ~ ('^' || parent || '_[0-9]{8}$')
       AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= (before AT TIME ZONE 'UTC')::date
     ORDER BY c.relname LIMIT 1;
    IF child IS NULL THEN
        too_old := format(' WHERE created_at < %L', before);
    END IF;
    EXECUTE format(
        'UPDATE ingest_offset o SET complete_from = greatest(o.complete_from, d.seq - (o.epoch::bigint << 40) + 1)'
        '  FROM (SELECT %s AS topic, partition, epoch, max(seq) AS seq FROM %I%s GROUP BY 1, 2, 3) AS d'
        ' WHERE o.topic = d.topic AND o.partition = d.partition AND o.epoch = d.epoch',
        by_topic, coalesce(child, parent || '_default'), too_old);
    IF child IS NULL THEN
        EXECUTE format('DELETE FROM %I%s', parent || '_default', too_old);
    ELSE
        EXECUTE format('DROP TABLE %I', child);
    END IF;
    RETURN child;
END
$$;
