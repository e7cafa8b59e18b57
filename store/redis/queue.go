package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// queue implements [store.Queue]. A line has these keys, in one slot:
//
//	rows    a hash: id → lane, number, pushed and free in µs, attempts, owner, a line each
//	bodies  a hash: id → body
//	lanes   a sorted set of lane, newline, number, newline, id: the order of a lane is that of the texts
//	order   a sorted set of the ids, by their numbers
//	heads   a sorted set of the ids that are first of their lane, by when they are free
//	frees   a sorted set of all ids, by when they are free
//	number  the last that was given out
//
// Which lines there are is in a set in a slot of its own, before anything is in
// the line; its names stay.
type queue struct{ *engine }

func (q *queue) keys(line string) []string {
	of := q.prefix + "queue:{" + line + "}:"
	return []string{of + "rows", of + "bodies", of + "lanes", of + "order", of + "heads", of + "number", of + "frees"}
}

// queueWords are the functions that the scripts of the queue begin with. Numbers of
// 16 digits are whole to Lua's floats, but are printed so only by %.0f.
const queueWords = `
local rows, bodies, lanes, order, heads, number, frees = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local function text(n) return string.format('%.0f', n) end
local function read(id)
	local row = redis.call('HGET', rows, id)
	if not row then return nil end
	local lane, n, pushed, free, attempts, owner = string.match(row, '^(.-)\n(%d+)\n(%d+)\n(%d+)\n(%d+)\n(.*)$')
	if not lane then return nil end
	return {lane = lane, n = n, pushed = tonumber(pushed), free = tonumber(free), attempts = tonumber(attempts), owner = owner}
end
local function write(id, r)
	redis.call('HSET', rows, id, table.concat({r.lane, r.n, text(r.pushed), text(r.free), text(r.attempts), r.owner}, '\n'))
	redis.call('ZADD', frees, text(r.free), id)
end
local function place(lane, n, id) return lane .. '\n' .. string.format('%016.0f', n) .. '\n' .. id end
local function first(lane)
	local found = redis.call('ZRANGEBYLEX', lanes, '[' .. lane .. '\n', '(' .. lane .. '\11', 'LIMIT', 0, 1)[1]
	return found and string.match(found, '([^\n]*)$')
end
local function remove(id)
	local r = read(id)
	redis.call('HDEL', rows, id)
	redis.call('HDEL', bodies, id)
	redis.call('ZREM', order, id)
	redis.call('ZREM', frees, id)
	if not r then redis.call('ZREM', heads, id) return end
	redis.call('ZREM', lanes, place(r.lane, r.n, id))
	if redis.call('ZREM', heads, id) == 0 then return end
	local next = first(r.lane)
	if next then redis.call('ZADD', heads, text(read(next).free), next) end
end
`

// ARGV: id, lane, owner, wait in µs, body.
var queuePushScript = goredis.NewScript(queueWords + `
local id, lane = ARGV[1], ARGV[2]
if redis.call('HEXISTS', rows, id) == 1 then return 0 end
local r = {lane = lane, n = redis.call('INCR', number), pushed = now, free = now + ARGV[4], attempts = 0, owner = ARGV[3]}
r.n = text(r.n)
local alone = not first(lane)
write(id, r)
redis.call('HSET', bodies, id, ARGV[5])
redis.call('ZADD', order, r.n, id)
redis.call('ZADD', lanes, 0, place(lane, r.n, id))
if alone then redis.call('ZADD', heads, text(r.free), id) end
return 1
`)

// ARGV: id, owner. It answers 0 for none, 1 for one that waits, 2 for a turn.
var queueTurnScript = goredis.NewScript(queueWords + `
local r = read(ARGV[1])
if not r then return 0 end
if r.owner == ARGV[2] and redis.call('ZSCORE', heads, ARGV[1]) then return 2 end
return 1
`)

// ARGV: owner, lease in µs, at most. It answers id, lane, attempts, pushed and body of
// each.
var queueLendScript = goredis.NewScript(queueWords + `
local answer = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', heads, '-inf', text(now), 'LIMIT', 0, ARGV[3])) do
	local r, body = read(id), redis.call('HGET', bodies, id)
	if r and body then
		r.owner, r.free, r.attempts = ARGV[1], now + ARGV[2], r.attempts + 1
		write(id, r)
		redis.call('ZADD', heads, text(r.free), id)
		for _, value in ipairs({id, r.lane, text(r.attempts), text(r.pushed), body}) do table.insert(answer, value) end
	else
		remove(id)
	end
end
return answer
`)

// ARGV: id.
var queueDoneScript = goredis.NewScript(queueWords + `
remove(ARGV[1])
return 1
`)

// ARGV: id, owner, wait in µs.
var queueLaterScript = goredis.NewScript(queueWords + `
local r = read(ARGV[1])
if not r or r.owner ~= ARGV[2] then return 0 end
r.owner, r.free = '', now + ARGV[3]
write(ARGV[1], r)
redis.call('ZADD', heads, 'XX', text(r.free), ARGV[1])
return 1
`)

// It answers how many wait, and the µs since the first was pushed and until one is
// free.
var queueLineScript = goredis.NewScript(queueWords + `
local n, oldest, free = redis.call('ZCARD', order), 0, 0
local r = n > 0 and read(redis.call('ZRANGE', order, 0, 0)[1])
if r then oldest = now - r.pushed end
local soonest = redis.call('ZRANGE', frees, 0, 0, 'WITHSCORES')
while soonest[1] and redis.call('HEXISTS', rows, soonest[1]) == 0 do -- removed by an older program
	redis.call('ZREM', frees, soonest[1])
	soonest = redis.call('ZRANGE', frees, 0, 0, 'WITHSCORES')
end
if soonest[2] then free = tonumber(soonest[2]) - now end
return {n, oldest, free}
`)

// ARGV: keep in µs, at most in the line, at most at a time.
var queueTrimScript = goredis.NewScript(queueWords + `
local dropped = 0
while dropped < tonumber(ARGV[3]) do
	local id = redis.call('ZRANGE', order, 0, 0)[1]
	if not id then break end
	local r = read(id)
	if r and now - r.pushed <= tonumber(ARGV[1]) and redis.call('ZCARD', order) <= tonumber(ARGV[2]) then break end
	remove(id)
	dropped = dropped + 1
end
return dropped
`)

// trimMost is how many deliveries one Trim removes.
const trimMost = 10_000

// Push implements [store.Queue].
func (q *queue) Push(ctx context.Context, deliveries []store.Delivery) error {
	if len(deliveries) == 0 {
		return nil
	}
	names := make([]any, len(deliveries))
	for i, d := range deliveries {
		names[i] = d.Line
	}
	if err := q.db.SAdd(ctx, q.of("lines"), names...).Err(); err != nil {
		return q.explain(err)
	}
	// With their text, since a script that a server does not know would be an error
	// here.
	return q.all(ctx, deliveries, func(p goredis.Pipeliner, d store.Delivery) {
		queuePushScript.Eval(ctx, p, q.keys(d.Line), d.ID, d.Lane, d.Owner, d.Wait.Microseconds(), d.Body)
	})
}

// all sends the scripts of several deliveries together.
func (q *queue) all(ctx context.Context, deliveries []store.Delivery, each func(p goredis.Pipeliner, d store.Delivery)) error {
	answers, err := q.db.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, d := range deliveries {
			each(p, d)
		}
		return nil
	})
	for _, answer := range answers {
		if err == nil {
			err = answer.Err()
		}
	}
	return q.explain(err)
}

// DoneAll implements [remote.QueueEngine].
func (q *queue) DoneAll(ctx context.Context, deliveries []store.Delivery) error {
	return q.all(ctx, deliveries, func(p goredis.Pipeliner, d store.Delivery) { queueDoneScript.Eval(ctx, p, q.keys(d.Line), d.ID) })
}

// Turn implements [store.Queue].
func (q *queue) Turn(ctx context.Context, line, id, owner string) (turn, waits bool, err error) {
	asked := &remote.Turn{Line: line, ID: id, Owner: owner}
	err = q.TurnAll(ctx, []*remote.Turn{asked})
	return asked.Is, asked.Waits, err
}

// TurnAll implements [remote.QueueEngine].
func (q *queue) TurnAll(ctx context.Context, turns []*remote.Turn) error {
	answers, err := q.db.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, t := range turns {
			queueTurnScript.Eval(ctx, p, q.keys(t.Line), t.ID, t.Owner)
		}
		return nil
	})
	for i, answer := range answers {
		n, failed := answer.(*goredis.Cmd).Int()
		if err == nil {
			err = failed
		}
		turns[i].Is, turns[i].Waits = n == 2, n > 0
	}
	return q.explain(err)
}

// Lend implements [store.Queue].
func (q *queue) Lend(ctx context.Context, line, owner string, lease time.Duration, most int) ([]store.Delivery, error) {
	values, err := queueLendScript.Run(ctx, q.db, q.keys(line), owner, lease.Microseconds(), max(most, 0)).StringSlice()
	if err != nil {
		return nil, q.explain(err)
	}
	const width = 5
	if len(values)%width != 0 {
		return nil, q.explain(fmt.Errorf("the script for lending answers %d values", len(values)))
	}
	var lent []store.Delivery
	for row := range slices.Chunk(values, width) {
		attempts, _ := strconv.Atoi(row[2]) // the script has written them
		pushed, _ := strconv.ParseInt(row[3], 10, 64)
		lent = append(lent, store.Delivery{
			Line: line, ID: row[0], Lane: row[1], Owner: owner, Attempts: attempts, Pushed: time.UnixMicro(pushed), Body: []byte(row[4]),
		})
	}
	return lent, nil
}

// Done implements [store.Queue].
func (q *queue) Done(ctx context.Context, line, id string) error {
	return q.explain(queueDoneScript.Run(ctx, q.db, q.keys(line), id).Err())
}

// Later implements [store.Queue].
func (q *queue) Later(ctx context.Context, line, id, owner string, wait time.Duration) error {
	return q.explain(queueLaterScript.Run(ctx, q.db, q.keys(line), id, owner, wait.Microseconds()).Err())
}

// Lines implements [store.Queue].
func (q *queue) Lines(ctx context.Context) ([]store.Line, error) {
	names, err := q.db.SMembers(ctx, q.of("lines")).Result()
	if err != nil || len(names) == 0 {
		return nil, q.explain(err)
	}
	slices.SortFunc(names, strings.Compare)
	answers, err := q.db.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, name := range names {
			queueLineScript.Eval(ctx, p, q.keys(name))
		}
		return nil
	})
	if err != nil {
		return nil, q.explain(err)
	}
	var lines []store.Line
	for i, answer := range answers {
		values, err := answer.(*goredis.Cmd).Int64Slice()
		if err != nil || len(values) != 3 {
			return nil, q.explain(fmt.Errorf("the script for lines answers %d values: %w", len(values), err))
		}
		if values[0] == 0 {
			continue
		}
		lines = append(lines, store.Line{
			Name: names[i], Waiting: int(values[0]),
			Oldest: max(0, time.Duration(values[1])*time.Microsecond), Free: max(0, time.Duration(values[2])*time.Microsecond),
		})
	}
	return lines, nil
}

// Trim implements [store.Queue].
func (q *queue) Trim(ctx context.Context, line string, keep time.Duration, most int) (int, error) {
	n, err := queueTrimScript.Run(ctx, q.db, q.keys(line), keep.Microseconds(), max(most, 0), trimMost).Int()
	return n, q.explain(err)
}
