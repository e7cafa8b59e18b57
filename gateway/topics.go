package gateway

import (
	"sync"
	"sync/atomic"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/page"
)

// topics are what subscribers wait for. The zero value is ready.
type topics struct {
	all   sync.Map     // appid → *topic; of every account that anybody ever subscribed to
	count atomic.Int64 // subscribers
}

// topic is the token of one account. Its bell rings whenever that, or who may use it,
// has changed; each subscriber looks for himself at what is new. So nothing piles up
// behind one who does not read.
type topic struct {
	page.Bell

	subscribers atomic.Int64
}

// of returns the topic of an account.
func (t *topics) of(appID string) *topic {
	found, ok := t.all.Load(appID)
	if !ok {
		found, _ = t.all.LoadOrStore(appID, new(topic))
	}
	return found.(*topic)
}

// ring rings for the subscribers of an account.
func (t *topics) ring(appID string) {
	if found, ok := t.all.Load(appID); ok { // else nobody ever subscribed
		found.(*topic).Ring()
	}
}

// trace rings when a token is another one, or ends at another time.
func (t *topics) trace() *custody.Trace {
	return &custody.Trace{
		Renewed:   func(i custody.RenewedInfo) { t.ring(i.Key.AppID) },
		Adopted:   func(i custody.AdoptedInfo) { t.ring(i.Key.AppID) },
		Shortened: func(i custody.ShortenedInfo) { t.ring(i.Key.AppID) },
	}
}

// ringAll rings for everybody: clients, accounts or the gateway itself have changed.
func (t *topics) ringAll() {
	t.all.Range(func(_, found any) bool {
		found.(*topic).Ring()
		return true
	})
}
