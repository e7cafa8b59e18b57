-- The oldest program that may run on each version of these tables, as the number of the
-- newest migration that it knows. Each migration after this one adds its row, with its
-- own number if an older program would do harm.

-- +goose Up
CREATE TABLE zhongkong_oldest (
    version bigint NOT NULL PRIMARY KEY,
    oldest  bigint  NOT NULL
);

INSERT INTO zhongkong_oldest (version, oldest) VALUES (5, 4);

-- +goose Down
DROP TABLE zhongkong_oldest;
