-- Who was erased, and of when; some rows. Read again when the greatest version is another one.
SELECT user_id, (extract(epoch FROM before) * 1000)::bigint, version FROM erased_user
