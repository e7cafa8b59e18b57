-- +goose Up
CREATE TABLE IF NOT EXISTS zhongkong_versions (
    id  bigint NOT NULL PRIMARY KEY,           -- 1: there is one row
    top bigint NOT NULL                        -- the highest version of a document
) ENGINE = InnoDB;

INSERT IGNORE INTO zhongkong_versions (id, top) VALUES (1, 0);

CREATE TABLE IF NOT EXISTS zhongkong_documents (
    kind    varbinary(64)  NOT NULL,           -- such as client
    name    varbinary(255) NOT NULL,
    body    mediumblob,                        -- NULL = removed
    version bigint         NOT NULL,           -- grows with each change of any document
    PRIMARY KEY (kind, name),
    KEY zhongkong_documents_version (version)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS zhongkong_uses (
    id      bigint          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    at_us   bigint          NOT NULL,          -- microseconds since 1970-01-01 UTC
    actor   varbinary(512)  NOT NULL,
    act     varbinary(64)   NOT NULL,
    subject varbinary(512)  NOT NULL,
    detail  varbinary(4096) NOT NULL,
    KEY zhongkong_uses_at (at_us),
    KEY zhongkong_uses_act (act, id)
) ENGINE = InnoDB;

-- +goose Down
DROP TABLE IF EXISTS zhongkong_uses;
DROP TABLE IF EXISTS zhongkong_documents;
DROP TABLE IF EXISTS zhongkong_versions;
