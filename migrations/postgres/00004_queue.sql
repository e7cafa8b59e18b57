-- What has to be delivered still. Times are microseconds since 1970-01-01 UTC.

-- +goose Up
CREATE TABLE zhongkong_queue (
    seq       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order of a lane
    line      text   COLLATE "C" NOT NULL,     -- whom it is for
    lane      text   COLLATE "C" NOT NULL,     -- what of a line is delivered in order
    id        text   COLLATE "C" NOT NULL,     -- says nothing about what it is
    owner     text   COLLATE "C" NOT NULL,     -- who delivers it at the moment; '' = nobody
    free_us   bigint NOT NULL,                 -- from when on it may be lent
    pushed_us bigint NOT NULL,
    attempts  bigint NOT NULL,
    body      bytea  NOT NULL,                 -- sealed by the program
    UNIQUE (line, id)
);

CREATE INDEX zhongkong_queue_free ON zhongkong_queue (line, free_us, seq);
CREATE INDEX zhongkong_queue_lane ON zhongkong_queue (line, lane, seq);

-- +goose Down
DROP TABLE zhongkong_queue;
