package proof_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// The worlds of WeCom's tickets. They have no probe: a page that refuses one is believed. An
// agent ticket is counted together with those of the corp's other apps.
const (
	corpTicket  platform.TokenAPI = "wecom corp ticket"
	agentTicket platform.TokenAPI = "wecom agent ticket"
)

func isTicket(api platform.TokenAPI) bool { return api == corpTicket || api == agentTicket }

// idleSteps are those that a world of tickets is spared: a ticket that is reported for no
// reason costs a fetch each time, which answers the same ticket.
var idleSteps = []string{"misuse", "strays", "broken path"}

// ticketBooks is what WeCom knows of the ticket of a world. The token that it is fetched with
// is kept by a Keeper that nothing disturbs.
type ticketBooks struct {
	path   string
	kind   wecom.TicketType
	app    wecom.App
	tokens *custody.Keeper
	store  *memory.Store

	mu   sync.Mutex // guards what follows; held while a ticket is fetched or ends
	ends map[string]time.Time
	last string
}

func newTicketBooks(t *testing.T, w *world) *ticketBooks {
	t.Helper()
	b := &ticketBooks{
		path: "/cgi-bin/get_jsapi_ticket", kind: wecom.CorpTicket, store: memory.New(), ends: map[string]time.Time{},
		app: wecom.App{CorpID: "ww0123456789abcdef", AgentID: "1000002", Secret: w.secret},
	}
	if w.api == agentTicket {
		b.path, b.kind = "/cgi-bin/ticket/get", wecom.AgentTicket
	}
	api, err := wecom.New(platform.Config{Transport: w.wire})
	if err != nil {
		t.Fatal(err)
	}
	b.tokens, err = custody.New(custody.Config{Key: api.Key(b.app), Kind: api.AccessToken(b.app), Store: b.store, Secret: w.secret})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *ticketBooks) close() {
	_ = b.tokens.Close()
	_ = b.store.Close()
}

// roundTrip sends a request to WeChat, and notes the ticket that it brought, lost or not.
func (w *world) roundTrip(r *http.Request) (*http.Response, error) {
	b := w.ticket
	if b == nil {
		return w.wire.RoundTrip(r)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	answer, err := w.wire.RoundTrip(r)
	value, left := w.sim.Ticket(w.appID, simulator.TicketType(b.kind))
	if _, known := b.ends[value]; value != "" && !known {
		b.ends[value], b.last = time.Now().Add(left), value
	}
	return answer, err
}

// kill ends the credential early, as WeCom may.
func (w *world) kill() {
	b := w.ticket
	if b == nil {
		w.sim.Kill(w.appID)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	w.sim.KillTicket(w.appID, simulator.TicketType(b.kind))
}

// inspect tells what WeChat knows of a value.
func (w *world) inspect(value string) simulator.TokenInfo {
	b := w.ticket
	if b == nil {
		return w.sim.Inspect(value)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	end, known := b.ends[value]
	now, left := w.sim.Ticket(w.appID, simulator.TicketType(b.kind))
	switch {
	case !known:
		return simulator.TokenInfo{Errcode: 40001}
	case now == value:
		return simulator.TokenInfo{AppID: w.appID, Current: true, Left: left}
	case !time.Now().Before(end):
		return simulator.TokenInfo{AppID: w.appID, Current: value == b.last, Errcode: 42001}
	}
	return simulator.TokenInfo{AppID: w.appID, Current: value == b.last, Errcode: 40001}
}

// accepts reports whether WeChat takes a value.
func (w *world) accepts(value string) bool { return w.inspect(value).Errcode == 0 }

// issued is how many values WeChat gave to our processes.
func (w *world) issued() int {
	b := w.ticket
	if b == nil {
		s := w.sim.Stats(w.appID)
		return s.Classic.Issued + s.Stable.Issued
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.ends)
}

// spared reports whether a step is left out.
func (w *world) spared(s step) bool { return w.ticket != nil && slices.Contains(idleSteps, s.do) }
