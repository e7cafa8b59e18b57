-- What has to be delivered still. Times are microseconds since 1970-01-01 UTC.

-- +goose Up
CREATE TABLE IF NOT EXISTS zhongkong_queue (
    seq       bigint         NOT NULL AUTO_INCREMENT PRIMARY KEY, -- the order of a lane
    line      varbinary(255) NOT NULL,         -- whom it is for
    lane      varbinary(64)  NOT NULL,         -- what of a line is delivered in order
    id        varbinary(64)  NOT NULL,         -- says nothing about what it is
    owner     varbinary(64)  NOT NULL,         -- who delivers it at the moment; '' = nobody
    free_us   bigint         NOT NULL,         -- from when on it may be lent
    pushed_us bigint         NOT NULL,
    attempts  bigint         NOT NULL,
    body      mediumblob     NOT NULL,         -- sealed by the program
    UNIQUE KEY zhongkong_queue_id (line, id),
    KEY zhongkong_queue_free (line, free_us, seq),
    KEY zhongkong_queue_lane (line, lane, seq)
) ENGINE = InnoDB;

-- +goose Down
DROP TABLE IF EXISTS zhongkong_queue;
