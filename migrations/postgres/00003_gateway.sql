-- +goose Up
CREATE TABLE zhongkong_documents (
    kind    text   COLLATE "C" NOT NULL,       -- such as client
    name    text   COLLATE "C" NOT NULL,
    body    bytea,                             -- NULL = removed
    version bigint NOT NULL,                   -- grows with each change of any document
    PRIMARY KEY (kind, name)
);

CREATE UNIQUE INDEX zhongkong_documents_version ON zhongkong_documents (version);

CREATE TABLE zhongkong_uses (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_us   bigint NOT NULL,                   -- microseconds since 1970-01-01 UTC
    actor   text   NOT NULL,
    act     text   COLLATE "C" NOT NULL,
    subject text   NOT NULL,
    detail  text   NOT NULL
);

CREATE INDEX zhongkong_uses_at ON zhongkong_uses (at_us);
CREATE INDEX zhongkong_uses_act ON zhongkong_uses (act, id);

-- +goose Down
DROP TABLE zhongkong_uses;
DROP TABLE zhongkong_documents;
