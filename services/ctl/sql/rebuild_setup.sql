-- What a rebuild keeps for its proof; several statements, run once on the connection that stays until the end.
CREATE TEMP TABLE rb_part (topic text COLLATE "C", partition int, epoch int, start_seq bigint, since timestamptz, start bigint, next bigint);
CREATE TEMP TABLE rb_key (class text COLLATE "C", key text COLLATE "C", start_seq bigint, since timestamptz);
CREATE TEMP TABLE rb_event_id (id text COLLATE "C");
CREATE TEMP TABLE rb_bound (class text COLLATE "C", key text COLLATE "C", seq bigint);
CREATE TEMP TABLE rb_touched (part text COLLATE "C", key text COLLATE "C");
CREATE TEMP TABLE rb_phase (phase text);
CREATE TEMP TABLE rb_sum (phase text, part text COLLATE "C", key text COLLATE "C", rows bigint, sum numeric);
