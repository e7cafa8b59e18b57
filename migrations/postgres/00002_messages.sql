-- Which messages of followers were handled, and those that were answered before.
-- Times are microseconds since 1970-01-01 UTC.

-- +goose Up
CREATE TABLE zhongkong_messages (
    name         text    COLLATE "C" NOT NULL PRIMARY KEY, -- the message's key; says nothing about it
    changed_us   bigint  NOT NULL,             -- the row's version: when it was written, and always more than before
    account      text    COLLATE "C" NOT NULL,
    owner        text    COLLATE "C" NOT NULL, -- the delivery that handles it, or did
    attempts     bigint  NOT NULL,             -- at handling it
    deliveries   bigint  NOT NULL,
    first_us     bigint  NOT NULL,             -- the first of them
    lease_end_us bigint  NOT NULL,             -- when the owner has to be heard of again
    end_us       bigint  NOT NULL,             -- when the row may go
    finished     boolean NOT NULL,             -- with this answer
    answer       bytea   NOT NULL,             -- sealed by the program
    kept         boolean NOT NULL,             -- the deliveries are answered
    kept_us      bigint  NOT NULL,             -- since when the message waits to be handled; 0 = it does not
    message      bytea   NOT NULL              -- sealed by the program
);

CREATE INDEX zhongkong_messages_end ON zhongkong_messages (end_us);
CREATE INDEX zhongkong_messages_inbox ON zhongkong_messages (account, kept_us) WHERE kept_us > 0;

-- +goose Down
DROP TABLE zhongkong_messages;
