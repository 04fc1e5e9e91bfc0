-- From here on writers blank what this user wrote or was told before that time. Index: erased_user's primary key.
INSERT INTO erased_user (user_id, before) VALUES ($1, to_timestamp($2::bigint / 1000.0))
    ON CONFLICT (user_id) DO UPDATE SET before = greatest(erased_user.before, excluded.before), version = nextval('erased_version')
