package mysql

import (
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
	"github.com/zhongkong-go/zhongkong/store/internal/sqlqueue"
)

// queue keeps what has to be delivered.
func (e *engine) queue(s *remote.Store) *remote.Queue {
	return remote.NewQueue(s,
		sqlqueue.Queue{Calls: e.calls(), Ignore: `ON DUPLICATE KEY UPDATE seq = seq`},
		func(err error) bool { return cameBetween(codeOf(err)) }, e.failed)
}
