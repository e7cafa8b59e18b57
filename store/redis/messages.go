package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"github.com/zhongkong-go/zhongkong/store/internal/columns"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// What is known of a message is a hash that Redis itself forgets when it may. The
// inbox of an account is a sorted set of the names of its messages that wait, by
// the time since when. In a cluster the two lie in different slots, and no script
// reaches both: so a name comes into the inbox before the message says that it
// waits, and goes after the message does not any more. A name too many is removed
// by the process that finds it; one too few there never is.
func (e *engine) message(name string) string  { return e.prefix + "message:{" + name + "}" }
func (e *engine) inbox(account string) string { return e.prefix + "inbox:{" + account + "}" }

// inboxLook is how many names of an inbox are looked at in one go.
const inboxLook = 100

// ReadMessage implements [remote.MessageEngine].
func (e *engine) ReadMessage(ctx context.Context, name string) (remote.MessageState, error) {
	return e.messageState(readScript.Run(ctx, e.db, []string{e.message(name)}))
}

// messageState takes the answer of readScript about one message apart. One that
// is damaged counts as none.
func (e *engine) messageState(answer *goredis.Cmd) (state remote.MessageState, err error) {
	values, err := answer.Slice()
	if err != nil {
		return state, e.explain(err)
	}
	now, ok := values[0].(int64)
	if !ok || len(values) != 4 {
		return state, e.explain(fmt.Errorf("the script for reading answers %d values, the first of them a %T", len(values), values[0]))
	}
	state.NowUS = now
	version, _ := values[1].(string)
	text, _ := values[2].(string)
	state.Version, _ = strconv.ParseInt(version, 10, 64) // 0 is none
	var m columns.Message
	if state.Version > 0 && json.Unmarshal([]byte(text), &m) == nil {
		state.Found, state.Message = true, m
	}
	return state, nil
}

// SwapMessage implements [remote.MessageEngine].
func (e *engine) SwapMessage(ctx context.Context, c remote.MessageChange) (bool, error) {
	row, err := json.Marshal(c.Message)
	if err != nil {
		return false, err
	}
	waits := c.KeptUS > 0
	if waits {
		if err := e.db.ZAdd(ctx, e.inbox(c.Account), goredis.Z{Score: float64(c.KeptUS), Member: c.Name}).Err(); err != nil {
			return false, e.explain(err)
		}
	}
	old, sets, end := "", "", int64(0)
	if c.Old != 0 { // there is one, damaged or not
		old = strconv.FormatInt(c.Old, 10)
	}
	if c.Content != nil {
		sets = "content"
	}
	if !waits {
		end = max(c.EndUS, c.LeaseEndUS)/1000 + 1
		if c.Finished {
			end = c.EndUS/1000 + 1
		}
	}
	n, err := swapMessageScript.Run(ctx, e.db, []string{e.message(c.Name)}, old, c.New, row, format, c.UntilUS, sets, c.Content, end).Int()
	if err != nil {
		return false, e.explain(err)
	}
	if n == 1 && c.Finished && c.Kept {
		// If this fails, the next look into the inbox does it.
		_ = e.db.ZRem(ctx, e.inbox(c.Account), c.Name).Err()
	}
	return n == 1, nil
}

// FirstKept implements [remote.MessageEngine].
func (e *engine) FirstKept(ctx context.Context, account string) (string, error) {
	inbox := e.inbox(account)
	for begin := int64(0); ; {
		names, err := e.db.ZRangeWithScores(ctx, inbox, begin, begin+inboxLook-1).Result()
		if err != nil || len(names) == 0 {
			return "", e.explain(err)
		}
		begin += int64(len(names))
		answers, err := e.db.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for _, z := range names {
				readScript.Eval(ctx, p, []string{e.message(fmt.Sprint(z.Member))})
			}
			return nil
		})
		if err != nil {
			return "", e.explain(err)
		}
		for i, answer := range answers {
			state, err := e.messageState(answer.(*goredis.Cmd))
			name := fmt.Sprint(names[i].Member)
			switch {
			case err != nil:
				return "", err
			case !state.Found || state.Finished:
				begin-- // the others move up
				if err := leaveScript.Run(ctx, e.db, []string{inbox}, name, names[i].Score).Err(); err != nil {
					return "", e.explain(err)
				}
			case state.Waits(state.NowUS):
				return name, nil
			}
		}
	}
}

// Content implements [remote.MessageEngine].
func (e *engine) Content(ctx context.Context, name string) ([]byte, error) {
	content, err := e.db.HGet(ctx, e.message(name), "content").Bytes()
	if err == goredis.Nil { //nolint:errorlint // that is how the driver has it
		return nil, nil
	}
	return content, e.explain(err)
}

// Forget implements [remote.MessageEngine]. Redis does it.
func (e *engine) Forget(context.Context) error { return nil }

// ManyClocks says that two messages of a cluster may be on servers with two clocks.
func (e *engine) ManyClocks() bool {
	_, cluster := e.db.(*goredis.ClusterClient)
	return cluster
}

var _ remote.MessageEngine = (*engine)(nil)
