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
// one that was removed, a colon, body. Beside it stand the versions as a sorted set:
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
// is a list for each act, so that none pushes another's lines out.
//
// KEYS: acts, number, list. ARGV: act, line, lines to keep, their life in ms.
var noteScript = goredis.NewScript(`
local time = redis.call('TIME')
local at = string.format('%.0f', time[1] * 1000000 + time[2])
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('LPUSH', KEYS[3], at .. ' ' .. redis.call('INCR', KEYS[2]) .. ' ' .. ARGV[2])
redis.call('LTRIM', KEYS[3], 0, ARGV[3] - 1)
redis.call('PEXPIRE', KEYS[3], ARGV[4])
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
	return e.explain(noteScript.Run(ctx, e.db, []string{e.of("acts"), e.of("uses"), e.of("uses:" + use.Act)},
		use.Act, line, remote.UseLines, remote.UseAge.Milliseconds()).Err())
}

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
	for _, act := range acts {
		lines, err := e.db.LRange(ctx, e.of("uses:"+act), 0, int64(limit)-1).Result()
		if err != nil {
			return nil, e.explain(err)
		}
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
	uses := make([]store.Use, 0, min(limit, len(all)))
	for _, use := range all[:min(limit, len(all))] {
		uses = append(uses, use.Use)
	}
	return uses, nil
}

// TrimUses implements [remote.LedgerEngine]. Redis trims as it writes.
func (e *engine) TrimUses(context.Context, string) error { return nil }
