package wecom

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

// paceGap lies between two calls of gettoken.
const paceGap = 25 * time.Millisecond

// Pace bounds the calls of gettoken: one at a time, 25 ms apart, in the order in which they
// come. The zero value is ready; several APIs may share one, see [API.WithPace]. It is safe
// for concurrent use.
type Pace struct {
	mu   sync.Mutex
	next time.Time // when the next caller may go
}

var errQueue = errors.New("more apps of this process fetch their token at once than WeCom is asked for: this one's turn does not come in time")

// wait returns when the caller's turn comes. When ctx would end before, it fails at once,
// and the turn stays the next caller's.
func (p *Pace) wait(ctx context.Context) error {
	p.mu.Lock()
	now := time.Now()
	turn := now
	if p.next.After(now) {
		turn = p.next
	}
	if end, ok := ctx.Deadline(); ok && !turn.Before(end) {
		p.mu.Unlock()
		return &custody.FetchError{Class: custody.ClassTransient, PerHost: true, Err: errQueue}
	}
	p.next = turn.Add(paceGap)
	p.mu.Unlock()
	if turn.Equal(now) {
		return nil
	}
	timer := time.NewTimer(turn.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &custody.FetchError{Class: custody.ClassTransient, PerHost: true, Err: ctx.Err()}
	}
}
