-- Times are microseconds since 1970-01-01 UTC; 0 means none. Texts that a process
-- made are bytes, because a text of PostgreSQL cannot hold every character; look
-- at one with convert_from(value, 'UTF8').

-- +goose Up
CREATE TABLE zhongkong_credentials (
    name          text   COLLATE "C" NOT NULL PRIMARY KEY, -- such as access_token/stable/wx0123456789abcdef
    changed_us    bigint NOT NULL,             -- the row's version: when it was written, and always more than before
    value         bytea  NOT NULL,             -- the credential, in the clear or sealed; '' = none
    seal_key      text   NOT NULL,             -- names the key that sealed it; '' = in the clear
    end_us        bigint NOT NULL,             -- when the value stops being good
    life_us       bigint NOT NULL,             -- the life that its issuer stated
    fence         bigint NOT NULL,             -- the lease under which it was saved
    notes         bytea  NOT NULL,             -- what the processes tell one another
    top           bigint NOT NULL,             -- the highest fence given out
    attempt       text   NOT NULL,             -- who holds the lease; '' = nobody
    lease_end_us  bigint NOT NULL,             -- when it runs out by itself
    begun_us      bigint NOT NULL,             -- the holder's last fetch
    unfinished_us bigint NOT NULL,             -- the last fetch of a holder who vanished
    day           bigint NOT NULL,             -- day of UTC+8 since 1970 ...
    fetches       bigint NOT NULL              -- ... and the fetches begun on it
);

CREATE TABLE zhongkong_journal (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name    text   COLLATE "C" NOT NULL,
    at_us   bigint NOT NULL,
    event   text   NOT NULL,                   -- begin, save, release
    fence   bigint NOT NULL,
    attempt text   NOT NULL,
    detail  text   NOT NULL
);

CREATE INDEX zhongkong_journal_name ON zhongkong_journal (name, id);
CREATE INDEX zhongkong_journal_at ON zhongkong_journal (at_us);

-- +goose Down
DROP TABLE zhongkong_journal;
DROP TABLE zhongkong_credentials;
