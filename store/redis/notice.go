package redis

import (
	"context"
	"encoding/json"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/zhongkong-go/zhongkong/custody"
)

const (
	// notices is how many unread keys a watcher may pile up before it misses
	// some, which the contract allows.
	notices = 256

	// quietTime without a notice, and the connection is asked whether it lives.
	quietTime = 15 * time.Second
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
	subscription := s.engine.db.Subscribe(context.WithoutCancel(ctx))
	defer func() { _ = subscription.Close() }()
	short, cancel := context.WithTimeout(ctx, connectTime)
	if subscription.Subscribe(short, s.engine.channel) == nil {
		_, _ = subscription.Receive(short) // that it listens now; if not, the channel below tries again
	}
	cancel()
	close(tried)
	messages := subscription.Channel(goredis.WithChannelSize(notices), goredis.WithChannelHealthCheckInterval(quietTime))
	for {
		select {
		case <-ctx.Done():
			return
		case message, open := <-messages:
			if !open {
				return // the store is closed
			}
			var key custody.Key
			if json.Unmarshal([]byte(message.Payload), &key) != nil {
				continue // another program's
			}
			select {
			case keys <- key:
			default: // who does not read misses notices
			}
		}
	}
}
