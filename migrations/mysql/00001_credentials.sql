-- Times are microseconds since 1970-01-01 UTC; 0 means none. Texts that a process
-- made are bytes, so that no collation takes two accounts for one. IF EXISTS,
-- because MySQL commits after each statement: what was broken off in the middle
-- is done again.

-- +goose Up
CREATE TABLE IF NOT EXISTS zhongkong_credentials (
    name          varbinary(255)  NOT NULL PRIMARY KEY, -- such as access_token/stable/wx0123456789abcdef
    changed_us    bigint          NOT NULL,    -- the row's version: when it was written, and always more than before
    value         varbinary(8192) NOT NULL,    -- the credential, in the clear or sealed; '' = none
    seal_key      varbinary(255)  NOT NULL,    -- names the key that sealed it; '' = in the clear
    end_us        bigint          NOT NULL,    -- when the value stops being good
    life_us       bigint          NOT NULL,    -- the life that its issuer stated
    fence         bigint          NOT NULL,    -- the lease under which it was saved
    notes         varbinary(8192) NOT NULL,    -- what the processes tell one another
    top           bigint          NOT NULL,    -- the highest fence given out
    attempt       varbinary(255)  NOT NULL,    -- who holds the lease; '' = nobody
    lease_end_us  bigint          NOT NULL,    -- when it runs out by itself
    begun_us      bigint          NOT NULL,    -- the holder's last fetch
    unfinished_us bigint          NOT NULL,    -- the last fetch of a holder who vanished
    day           bigint          NOT NULL,    -- day of UTC+8 since 1970 ...
    fetches       bigint          NOT NULL     -- ... and the fetches begun on it
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS zhongkong_journal (
    id      bigint          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name    varbinary(255)  NOT NULL,
    at_us   bigint          NOT NULL,
    event   varbinary(16)   NOT NULL,          -- begin, save, release
    fence   bigint          NOT NULL,
    attempt varbinary(255)  NOT NULL,
    detail  varbinary(1024) NOT NULL,
    KEY zhongkong_journal_name (name, id),
    KEY zhongkong_journal_at (at_us)
) ENGINE = InnoDB;

-- +goose Down
DROP TABLE IF EXISTS zhongkong_journal;
DROP TABLE IF EXISTS zhongkong_credentials;
