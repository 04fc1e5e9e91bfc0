-- Whether a notification is the user's. Index: notification's primary key.
SELECT seq FROM notification WHERE id = $1::text AND user_id = $2::text
