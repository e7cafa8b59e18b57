package gateway

import (
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong"
	"github.com/zhongkong-go/zhongkong/internal/page"
)

const (
	maxSubscribers = 10_000           // of one gateway; the next are refused
	heartbeat      = 15 * time.Second // between two signs of life; proxies end what is silent for a minute
	reconnect      = time.Second      // what subscribers are told to wait before they come back
	spreadEach     = time.Millisecond // of the time over which subscribers ask for their tokens, for each of them
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
func (t *topics) trace() *zhongkong.Trace {
	return &zhongkong.Trace{
		Renewed:   func(i zhongkong.RenewedInfo) { t.ring(i.Key.AppID) },
		Adopted:   func(i zhongkong.AdoptedInfo) { t.ring(i.Key.AppID) },
		Shortened: func(i zhongkong.ShortenedInfo) { t.ring(i.Key.AppID) },
	}
}

// ringAll rings for everybody: clients, accounts or the gateway itself have changed.
func (t *topics) ringAll() {
	t.all.Range(func(_, found any) bool {
		found.(*topic).Ring()
		return true
	})
}

// tokenEvent tells how an account's token is. It has no token in it: a stream lives
// for hours, often behind proxies that keep what they pass on, and a token is handed
// out in one place, which checks the client and writes the journal.
type tokenEvent struct {
	AppID     string `json:"appid"`
	Fence     int64  `json:"fence"`
	ExpiresIn int64  `json:"expires_in"`
	Spread    int64  `json:"spread_ms"`
}

// apiEvents streams what happens to an account's token (text/event-stream): how it is
// now, and again whenever it was renewed or its life was cut.
func (g *Gateway) apiEvents(w *observed, r *http.Request, c caller) *refusal {
	if g.topics.count.Add(1) > maxSubscribers {
		g.topics.count.Add(-1)
		return &refusal{code: codeBusy, why: "there are too many subscribers", retry: time.Minute}
	}
	defer g.topics.count.Add(-1)
	if g.draining.Load() {
		return &refusal{code: codeBusy, why: "the gateway is ending", retry: time.Second}
	}
	appID := c.account.AppID
	topic := g.topics.of(appID)
	topic.subscribers.Add(1)
	defer topic.subscribers.Add(-1)

	// Without w, which would give a reader more time than a stream does.
	w.status = http.StatusOK
	stream := page.NewStream(w.ResponseWriter)
	defer func() { _ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Time{}) }() // of the connection's next call
	err := stream.Retry(reconnect)
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	var told tokenEvent
	var until time.Time // of what was told
	for err == nil {
		news := topic.Next()
		if !g.mayListen(c) {
			return nil
		}
		if s := g.account(appID).status(); s.Live && (s.Fence != told.Fence || time.Until(until)-s.Left > time.Second) {
			state := stateOf(s)
			told = tokenEvent{appID, state.Fence, state.ExpiresIn, topic.subscribers.Load() * int64(spreadEach/time.Millisecond)}
			until = time.Now().Add(s.Left)
			if err = stream.Send("token", strconv.FormatInt(s.Fence, 10), told); err != nil {
				break
			}
		}
		select {
		case <-news:
		case <-ticker.C:
			err = stream.Send("", "", nil)
		case <-r.Context().Done():
			return nil
		case <-g.ctx.Done():
			return nil
		}
	}
	if r.Context().Err() == nil {
		g.cfg.Logger.LogAttrs(r.Context(), slog.LevelInfo, "a subscriber was cut off: it does not read, or is gone",
			slog.String("client", c.Name), slog.String("appid", appID), slog.String("remote", r.RemoteAddr))
	}
	return nil
}

// status is the zero Status for an account that is gone.
func (a *account) status() zhongkong.Status {
	if a == nil {
		return zhongkong.Status{}
	}
	return a.keeper.Status()
}

// mayListen reports whether a subscription goes on: the client still has its key and
// the account, and the gateway goes on too.
func (g *Gateway) mayListen(c caller) bool {
	now := g.registry.find(c.id)
	if now == nil || g.draining.Load() || !now.uses(c.account.AppID) || g.account(c.account.AppID) == nil {
		return false
	}
	return slices.Contains(now.hashes(time.Now()), c.key)
}
