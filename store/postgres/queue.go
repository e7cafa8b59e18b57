package postgres

import (
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
	"github.com/zhongkong-go/zhongkong/store/internal/sqlqueue"
)

// queue keeps what has to be delivered.
func (e *engine) queue(s *remote.Store) *remote.Queue {
	return remote.NewQueue(s,
		sqlqueue.Queue{Calls: e.calls(), Ignore: `ON CONFLICT (line, id) DO NOTHING`, Returning: true},
		func(err error) bool { return err != nil && e.swapFailed(err) == nil }, e.failed)
}
