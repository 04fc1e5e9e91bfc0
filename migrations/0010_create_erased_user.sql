-- Users whose content was taken away: what they wrote or were told before that time is stored blanked, whenever its record comes.
CREATE SEQUENCE erased_version;
CREATE TABLE erased_user (
    user_id text COLLATE "C" PRIMARY KEY,
    before  timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT nextval('erased_version')
);

-- By the greatest version a writer sees in each transaction whether its list is the newest.
CREATE INDEX erased_user_version ON erased_user (version);
