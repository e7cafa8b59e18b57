-- What has to be delivered still. Times are microseconds since 1970-01-01 UTC.

-- +goose Up
CREATE TABLE zhongkong_queue (
    seq       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- the order of a lane
    line      TEXT    NOT NULL,             -- whom it is for
    lane      TEXT    NOT NULL,             -- what of a line is delivered in order
    id        TEXT    NOT NULL,             -- says nothing about what it is
    owner     TEXT    NOT NULL,             -- who delivers it at the moment; '' = nobody
    free_us   INTEGER NOT NULL,             -- from when on it may be lent
    pushed_us INTEGER NOT NULL,
    attempts  INTEGER NOT NULL,
    body      BLOB    NOT NULL,             -- sealed by the program
    UNIQUE (line, id)
) STRICT;

CREATE INDEX zhongkong_queue_free ON zhongkong_queue (line, free_us, seq);
CREATE INDEX zhongkong_queue_lane ON zhongkong_queue (line, lane, seq);

-- +goose Down
DROP TABLE zhongkong_queue;
