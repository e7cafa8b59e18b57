-- +goose Up
CREATE TABLE zhongkong_documents (
    kind    TEXT    NOT NULL,               -- such as client
    name    TEXT    NOT NULL,
    body    BLOB,                           -- NULL = removed
    version INTEGER NOT NULL UNIQUE,        -- grows with each change of any document
    PRIMARY KEY (kind, name)
) STRICT;

CREATE TABLE zhongkong_uses (
    id      INTEGER NOT NULL PRIMARY KEY,
    at_us   INTEGER NOT NULL,               -- microseconds since 1970-01-01 UTC
    actor   TEXT    NOT NULL,
    act     TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    detail  TEXT    NOT NULL
) STRICT;

CREATE INDEX zhongkong_uses_at ON zhongkong_uses (at_us);
CREATE INDEX zhongkong_uses_act ON zhongkong_uses (act, id);

-- +goose Down
DROP TABLE zhongkong_uses;
DROP TABLE zhongkong_documents;
