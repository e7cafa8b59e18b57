-- Times are microseconds since 1970-01-01 UTC; 0 means none. STRICT, so that
-- nobody's hand leaves a text where a time is expected.

-- +goose Up
CREATE TABLE zhongkong_credentials (
    name          TEXT    NOT NULL PRIMARY KEY, -- such as access_token/stable/wx0123456789abcdef
    value         TEXT    NOT NULL,             -- the credential, in the clear or sealed; '' = none
    seal_key      TEXT    NOT NULL,             -- names the key that sealed it; '' = in the clear
    end_us        INTEGER NOT NULL,             -- when the value stops being good
    life_us       INTEGER NOT NULL,             -- the life that its issuer stated
    fence         INTEGER NOT NULL,             -- the lease under which it was saved
    notes         BLOB    NOT NULL,             -- what the processes tell one another
    top           INTEGER NOT NULL,             -- the highest fence given out
    attempt       TEXT    NOT NULL,             -- who holds the lease; '' = nobody
    lease_end_us  INTEGER NOT NULL,             -- when it runs out by itself
    begun_us      INTEGER NOT NULL,             -- the holder's last fetch
    unfinished_us INTEGER NOT NULL,             -- the last fetch of a holder who vanished
    day           INTEGER NOT NULL,             -- day of UTC+8 since 1970 ...
    fetches       INTEGER NOT NULL              -- ... and the fetches begun on it
) STRICT;

CREATE TABLE zhongkong_journal (
    id      INTEGER NOT NULL PRIMARY KEY,
    name    TEXT    NOT NULL,
    at_us   INTEGER NOT NULL,
    event   TEXT    NOT NULL,                   -- begin, save, release
    fence   INTEGER NOT NULL,
    attempt TEXT    NOT NULL,
    detail  TEXT    NOT NULL
) STRICT;

CREATE INDEX zhongkong_journal_name ON zhongkong_journal (name, id);
CREATE INDEX zhongkong_journal_at ON zhongkong_journal (at_us);

-- +goose Down
DROP TABLE zhongkong_journal;
DROP TABLE zhongkong_credentials;
