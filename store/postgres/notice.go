package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/zhongkong-go/zhongkong/custody"
)

const (
	// notices is how many unread keys a watcher may pile up before it misses
	// some, which the contract allows.
	notices = 256

	// A connection that only listens does not notice that its server is gone.
	// After quietTime without a notice it asks, and has answerTime for an answer.
	quietTime  = 30 * time.Second
	answerTime = 5 * time.Second

	// An attempt to listen again comes after shortPause, doubling to longPause.
	shortPause = 100 * time.Millisecond
	longPause  = 5 * time.Second
)

// Watch implements [custody.Watcher] over a connection of its own, which is
// made anew when it breaks; what was told meanwhile is missed. When it returns,
// the connection listens, or could not be made yet.
func (s *Store) Watch(ctx context.Context) (<-chan custody.Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	keys, tried := make(chan custody.Key, notices), make(chan struct{})
	both, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.Life(), cancel)
	err := s.Go(func() {
		defer close(keys)
		defer cancel()
		defer stop()
		s.watch(both, keys, tried)
	})
	if err != nil {
		cancel()
		return nil, err
	}
	select {
	case <-tried:
	case <-both.Done():
	}
	return keys, nil
}

// watch listens until ctx ends. It closes tried after its first attempt.
func (s *Store) watch(ctx context.Context, keys chan<- custody.Key, tried chan struct{}) {
	pause := shortPause
	for first := true; ctx.Err() == nil; first = false {
		short, cancel := context.WithTimeout(ctx, answerTime)
		conn, err := s.engine.listen(short)
		cancel()
		if first {
			close(tried)
		}
		if errors.Is(err, errPooled) {
			s.engine.log.Info("the pooler pools transactions, so changes are not reported; programs look for them as with MySQL",
				slog.String("server", s.engine.server.String()))
			<-ctx.Done()
			return
		}
		if err == nil {
			pause = shortPause
			receive(ctx, conn, keys)
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		pause = min(2*pause, longPause)
	}
}

// receive passes notices on until ctx ends or the connection breaks.
func receive(ctx context.Context, conn *pgx.Conn, keys chan<- custody.Key) {
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	for {
		quiet, cancel := context.WithTimeout(ctx, quietTime)
		notice, err := conn.WaitForNotification(quiet)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			var key custody.Key
			if json.Unmarshal([]byte(notice.Payload), &key) != nil {
				continue // another program's
			}
			select {
			case keys <- key:
			default: // who does not read misses notices
			}
		case pgconn.Timeout(err) && !conn.IsClosed():
			answer, cancel := context.WithTimeout(ctx, answerTime)
			err := conn.Ping(answer)
			cancel()
			if err != nil {
				return
			}
		default:
			return
		}
	}
}
