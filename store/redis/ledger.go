package redis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// The documents are a hash: kind, a newline and name → version, a colon, 1 or 0 for
// one that was removed, a colon, body. Next to it are the versions as a sorted set:
// microseconds since 1970 are whole numbers to Lua's and Redis's floats.

// documentsScript answers names and values of the documents above a version.
//
// KEYS: documents, versions. ARGV: version.
var documentsScript = goredis.NewScript(`
local answer = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf')) do
	local value = redis.call('HGET', KEYS[1], name)
	if value then
		table.insert(answer, name)
		table.insert(answer, value)
	end
end
return answer
`)

// putScript writes a document and answers its version, ” for a conflict.
//
// KEYS: documents, versions. ARGV: name, version that is there or 0, 1 or 0, body.
var putScript = goredis.NewScript(`
local there, live = '0', '0'
local value = redis.call('HGET', KEYS[1], ARGV[1])
if value then there, live = string.match(value, '^(%d+):([01]):') end
if live ~= '1' then there = '0' end
if there ~= ARGV[2] then return '' end
local top = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local time = redis.call('TIME')
local version = math.max((tonumber(top[2] or '0')) + 1, time[1] * 1000000 + time[2])
local text = string.format('%.0f', version)
redis.call('HSET', KEYS[1], ARGV[1], text .. ':' .. ARGV[3] .. ':' .. ARGV[4])
redis.call('ZADD', KEYS[2], text, ARGV[1])
return text
`)

// noteScript writes a line of the trail, with the time and a number in front. There
// is a list for each act and actor, so that none pushes another's lines out, and a
// sorted set of each act's actors by the number of their last line. Releases before had
// a list for each act, which is still read until it ends.
//
// KEYS: acts, number, actors, list. ARGV: act, actor, line, the lines' life in ms.
var noteScript = goredis.NewScript(`
local time = redis.call('TIME')
local at = string.format('%.0f', time[1] * 1000000 + time[2])
local number = redis.call('INCR', KEYS[2])
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[3], number, ARGV[2])
redis.call('LPUSH', KEYS[4], at .. ' ' .. number .. ' ' .. ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('PEXPIRE', KEYS[4], ARGV[4])
return 1
`)

// trimScript cuts an actor's list, and forgets an actor who has none any more.
//
// KEYS: actors, list. ARGV: actor, lines to keep.
var trimScript = goredis.NewScript(`
if ARGV[2] == '0' then redis.call('DEL', KEYS[2]) else redis.call('LTRIM', KEYS[2], 0, ARGV[2] - 1) end
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) end
return 1
`)

// of is a key of the ledger. The braces make them one slot.
func (e *engine) of(what string) string { return e.prefix + "{ledger}:" + what }

// Documents implements [remote.LedgerEngine].
func (e *engine) Documents(ctx context.Context, after int64) ([]store.Document, error) {
	values, err := documentsScript.Run(ctx, e.db, []string{e.of("documents"), e.of("versions")}, after).StringSlice()
	if err != nil {
		return nil, e.explain(err)
	}
	docs := make([]store.Document, 0, len(values)/2)
	for pair := range slices.Chunk(values, 2) {
		var doc store.Document
		var body, live string
		doc.Kind, doc.Name, _ = strings.Cut(pair[0], "\n")
		version, rest, _ := strings.Cut(pair[1], ":")
		live, body, _ = strings.Cut(rest, ":")
		if doc.Version, err = strconv.ParseInt(version, 10, 64); err != nil {
			return nil, errors.New("zhongkong: the document " + doc.Kind + " " + doc.Name + " is damaged")
		}
		if live == "1" {
			doc.Body = []byte(body)
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

// Put implements [remote.LedgerEngine].
func (e *engine) Put(ctx context.Context, doc store.Document) (int64, error) {
	live := 0
	if doc.Body != nil {
		live = 1
	}
	text, err := putScript.Run(ctx, e.db, []string{e.of("documents"), e.of("versions")}, doc.Kind+"\n"+doc.Name, doc.Version, live, doc.Body).
		Text()
	switch {
	case err != nil:
		return 0, e.explain(err)
	case text == "":
		return 0, store.ErrConflict
	}
	return strconv.ParseInt(text, 10, 64)
}

// useLine is a line of the trail, as JSON, after its time and number.
type useLine struct {
	Actor   string `json:"actor"`
	Act     string `json:"act"`
	Subject string `json:"subject,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// Note implements [remote.LedgerEngine].
func (e *engine) Note(ctx context.Context, use store.Use) error {
	line, err := json.Marshal(useLine{use.Actor, use.Act, use.Subject, use.Detail})
	if err != nil {
		return err
	}
	keys := []string{e.of("acts"), e.of("uses"), e.actors(use.Act), e.uses(use.Act, use.Actor)}
	return e.explain(noteScript.Run(ctx, e.db, keys, use.Act, use.Actor, line, remote.UseAge.Milliseconds()).Err())
}

// actors and uses are the keys of an act's actors and of the lines of one of them. An
// act has no control character.
func (e *engine) actors(act string) string      { return e.of("actors:" + act) }
func (e *engine) uses(act, actor string) string { return e.of("uses:" + act + "\n" + actor) }

// Uses implements [remote.LedgerEngine].
func (e *engine) Uses(ctx context.Context, limit int) ([]store.Use, error) {
	if limit == 0 {
		return nil, nil
	}
	acts, err := e.db.SMembers(ctx, e.of("acts")).Result()
	if err != nil {
		return nil, e.explain(err)
	}
	now, err := e.db.Time(ctx).Result()
	if err != nil {
		return nil, e.explain(err)
	}
	type numbered struct {
		store.Use

		number int64
	}
	var all []numbered
	lists, err := e.lists(ctx, acts, limit)
	if err != nil {
		return nil, e.explain(err)
	}
	for _, lines := range lists {
		for _, text := range lines {
			part := strings.SplitN(text, " ", 3)
			var line useLine
			if len(part) != 3 || json.Unmarshal([]byte(part[2]), &line) != nil {
				continue // damaged; the others are worth seeing
			}
			us, _ := strconv.ParseInt(part[0], 10, 64)
			number, _ := strconv.ParseInt(part[1], 10, 64)
			at := time.UnixMicro(us)
			if now.Sub(at) > remote.UseAge {
				break
			}
			all = append(all, numbered{store.Use{At: at, Actor: line.Actor, Act: line.Act, Subject: line.Subject, Detail: line.Detail}, number})
		}
	}
	slices.SortFunc(all, func(a, b numbered) int { return cmp.Compare(b.number, a.number) })
	all = slices.CompactFunc(all, func(a, b numbered) bool { return a.number == b.number }) // a list may grow between two reads
	uses := make([]store.Use, 0, min(limit, len(all)))
	for _, use := range all[:min(limit, len(all))] {
		uses = append(uses, use.Use)
	}
	return uses, nil
}

// lists returns the newest lines of each act and actor: of the actors who spoke last,
// since more than limit of them have nothing that would be shown.
func (e *engine) lists(ctx context.Context, acts []string, limit int) ([][]string, error) {
	spoke, err := pipelined(ctx, e, acts, func(p goredis.Pipeliner, act string) *goredis.StringSliceCmd {
		return p.ZRevRange(ctx, e.actors(act), 0, int64(limit)-1)
	})
	if err != nil {
		return nil, err
	}
	var keys []string
	for i, act := range acts {
		keys = append(keys, e.of("uses:"+act)) // of releases before
		for _, actor := range spoke[i] {
			keys = append(keys, e.uses(act, actor))
		}
	}
	// A few lines of each actor, and the rest of those who wrote many of the newest.
	some := max(16, 2*limit/max(1, len(keys)))
	lists, err := pipelined(ctx, e, keys, func(p goredis.Pipeliner, key string) *goredis.StringSliceCmd {
		return p.LRange(ctx, key, 0, int64(min(some, limit))-1)
	})
	if err != nil || some >= limit {
		return lists, err
	}
	var found []int64
	for _, lines := range lists {
		for _, line := range lines {
			found = append(found, numberOf(line))
		}
	}
	slices.SortFunc(found, func(a, b int64) int { return cmp.Compare(b, a) })
	var more []string
	for i, lines := range lists {
		if len(lines) == some && (len(found) < limit || numberOf(lines[some-1]) > found[limit-1]) {
			more = append(more, keys[i])
		}
	}
	rest, err := pipelined(ctx, e, more, func(p goredis.Pipeliner, key string) *goredis.StringSliceCmd {
		return p.LRange(ctx, key, int64(some), int64(limit)-1)
	})
	return append(lists, rest...), err
}

// numberOf is the number of a line, 0 for one that is damaged.
func numberOf(line string) int64 {
	if part := strings.SplitN(line, " ", 3); len(part) == 3 {
		number, _ := strconv.ParseInt(part[1], 10, 64)
		return number
	}
	return 0
}

// TrimUses implements [remote.LedgerEngine]. Old lines end by themselves.
func (e *engine) TrimUses(ctx context.Context, act string, most int) error {
	actors, err := e.db.ZRevRange(ctx, e.actors(act), 0, -1).Result() // who spoke last first
	if err != nil {
		return e.explain(err)
	}
	lengths, err := pipelined(ctx, e, actors, func(p goredis.Pipeliner, actor string) *goredis.IntCmd {
		return p.LLen(ctx, e.uses(act, actor))
	})
	if err != nil {
		return e.explain(err)
	}
	counts := make([]int, len(lengths))
	for i, n := range lengths {
		counts[i] = int(n)
	}
	each, all := store.UseShare(counts, most)
	keeps, long := map[string]int{}, []string(nil)
	for i, actor := range actors {
		keep := each
		if i >= all {
			keep = 0 // more actors than lines: each has one
		}
		if n := counts[i]; n == 0 || n > keep {
			keeps[actor], long = keep, append(long, actor)
		}
	}
	_, err = pipelined(ctx, e, long, func(p goredis.Pipeliner, actor string) *goredis.Cmd {
		return trimScript.Eval(ctx, p, []string{e.actors(act), e.uses(act, actor)}, actor, keeps[actor])
	})
	return e.explain(err)
}

// piped is how many commands travel together.
const piped = 1000

// pipelined sends a command for each of what, many together, and returns their results.
func pipelined[T any, C interface{ Result() (T, error) }](
	ctx context.Context, e *engine, what []string, command func(goredis.Pipeliner, string) C,
) ([]T, error) {
	results := make([]T, 0, len(what))
	for some := range slices.Chunk(what, piped) {
		commands := make([]C, len(some))
		_, err := e.db.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for i, one := range some {
				commands[i] = command(p, one)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, c := range commands {
			result, err := c.Result()
			if err != nil {
				return nil, err
			}
			results = append(results, result)
		}
	}
	return results, nil
}
