-- Which messages of followers were handled, and those that were answered before.

-- +goose Up
CREATE TABLE zhongkong_messages (
    name         TEXT    NOT NULL PRIMARY KEY, -- the message's key; says nothing about it
    account      TEXT    NOT NULL,
    owner        TEXT    NOT NULL,             -- the delivery that handles it, or did
    attempts     INTEGER NOT NULL,             -- at handling it
    deliveries   INTEGER NOT NULL,
    first_us     INTEGER NOT NULL,             -- the first of them
    lease_end_us INTEGER NOT NULL,             -- when the owner has to be heard of again
    end_us       INTEGER NOT NULL,             -- when the row may go
    finished     INTEGER NOT NULL,             -- 1: with this answer
    answer       BLOB    NOT NULL,             -- sealed by the program
    kept         INTEGER NOT NULL,             -- 1: the deliveries are answered
    kept_us      INTEGER NOT NULL,             -- since when the message waits to be handled; 0 = it does not
    message      BLOB    NOT NULL              -- sealed by the program
) STRICT;

CREATE INDEX zhongkong_messages_end ON zhongkong_messages (end_us);
CREATE INDEX zhongkong_messages_inbox ON zhongkong_messages (account, kept_us) WHERE kept_us > 0;

-- +goose Down
DROP TABLE zhongkong_messages;
