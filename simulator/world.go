package simulator

import (
	"sync"
	"sync/atomic"
	"time"
)

// world is what the accounts of a Simulator share.
type world struct {
	options    Options
	tokens     sync.Map // value → *token
	userTokens sync.Map // value → *userGrant
	skew       atomic.Int64
}

// wall is the time that rids, pushes and answers carry.
func (w *world) wall() time.Time { return time.Now().Add(time.Duration(w.skew.Load())) }
