package console_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/consoletest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestMany: of thousands of accounts a page shows fifty, trouble first, and the
// others by page and by a part of their appid.
func TestMany(t *testing.T) {
	d := consoletest.Start(t, consoletest.Options{Accounts: 3, Change: func(c *gateway.Config) {
		for n := range 5000 {
			c.Accounts = append(c.Accounts, gateway.Account{AppID: fmt.Sprintf("wxmany%012d", n), Secret: c.Accounts[0].Secret})
		}
		c.Accounts[1].Secret = custody.NewSecret("wrong-" + consoletest.AppSecret)
	}}).LogIn()
	if _, err := d.Refresh(t.Context(), "test", consoletest.AppID(1)); err == nil { // first fetches of so many take an hour
		t.Fatal("there is no trouble")
	}
	d.Until("the trouble is shown", func() bool { return strings.Contains(d.Get("").HTML, "40125") })
	html := d.Get("").HTML
	rows := regexp.MustCompile(`<tr id="account-([^"]+)" class="(\w+)"`).FindAllStringSubmatch(html, -1)
	if len(rows) != 50 || rows[0][1] != consoletest.AppID(1) || rows[0][2] != "bad" {
		t.Errorf("%d rows, %v first", len(rows), rows[0])
	}
	if !strings.Contains(html, "of 5,003") || !strings.Contains(html, `href="/page/?n=2"`) || !strings.Contains(html, "Page 1 of 101") {
		t.Error("the way to the other accounts is not there")
	}
	if size := len(html); size > 200<<10 {
		t.Errorf("the page has %d bytes", size)
	}
	for query, want := range map[string]int{
		"?n=101": 3, "?n=9999": 3, "?n=-1": 50, "?n=x": 50, "?q=MANY000000000042": 1,
		"?q=many00000000004": 10, "?q=%3Cscript%3E": 0, "?q=many&n=100": 50,
	} {
		html := d.Get(query).HTML
		if n := strings.Count(html, `<tr id="account-`); n != want {
			t.Errorf("%s: %d rows, want %d", query, n, want)
		}
		if want == 0 && (!strings.Contains(html, "No account has “&lt;script&gt;”") || strings.Contains(html, "<script>")) {
			t.Errorf("%s: nothing says that there is none", query)
		}
	}
}

// shut is a store of which a switch says whether it answers.
type shut struct {
	*memory.Store

	away atomic.Bool
}

var errAway = errors.New("made up: no route to host")

func (s *shut) Documents(ctx context.Context, after int64) ([]store.Document, error) {
	if s.away.Load() {
		return nil, errAway
	}
	return s.Store.Documents(ctx, after)
}

func (s *shut) Uses(ctx context.Context, limit int) ([]store.Use, error) {
	if s.away.Load() {
		return nil, errAway
	}
	return s.Store.Uses(ctx, limit)
}

func (s *shut) Note(ctx context.Context, u store.Use) error {
	if s.away.Load() {
		return errAway
	}
	return s.Store.Note(ctx, u)
}

func (s *shut) Journal(ctx context.Context, key custody.Key, limit int) ([]custody.Entry, error) {
	if s.away.Load() {
		return nil, errAway
	}
	return s.Store.Journal(ctx, key, limit)
}

func (s *shut) Lines(ctx context.Context) ([]store.Line, error) {
	if s.away.Load() {
		return nil, errAway
	}
	return s.Store.Lines(ctx)
}

// TestUnknownQueues: how much waits for a subscriber is in the store; while that is away
// nobody knows it, and the page does not say zero.
func TestUnknownQueues(t *testing.T) {
	t.Parallel()
	store := &shut{Store: memory.New()}
	pushed := func(c *gateway.Config) { c.Accounts[0].Callback = consoletest.PushedTo(t) }
	d := consoletest.Start(t, consoletest.Options{Accounts: 1, Change: pushed, Store: store}).Settled().LogIn()
	shows := func(waiting string) func() bool {
		return func() bool { return strings.Contains(d.Get("").HTML, `data-label="Waiting">`+waiting+` <span`) }
	}
	d.Until("nothing waits", shows("0"))
	store.away.Store(true)
	d.Until("nobody knows what waits", shows("–"))
}

// TestStoreAway: the page opens without its store, says what it does not know, keeps
// what it knew, and acts wait for the journal.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	store := &shut{Store: memory.New()}
	store.away.Store(true)
	d := consoletest.Start(t, consoletest.Options{Store: store}).Settled().LogIn()
	var html string
	d.Until("the renewals are counted", func() bool { // a moment after their tokens live
		html = d.Get("").HTML
		return strings.Contains(html, "renewed 2×, refused 0×, failed 0×")
	})
	for _, want := range []string{
		"The store does not answer.", "Clients and journal cannot be shown.", "The clients are unknown.",
		"The journal is unknown.", "Token, this gateway, since its start", "–",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("with a store that never answered there is no %q", want)
		}
	}
	if got := d.Act("clients/add", "name", "shop", "account", "*"); got.Status != 422 || !strings.Contains(got.HTML, "nothing was changed") {
		t.Errorf("adding a client: %d", got.Status)
	}
	store.away.Store(false)
	d.Client(gateway.Client{Name: "shop", Accounts: []string{"*"}})
	d.Until("the client is seen, and in the journal", func() bool {
		html := d.Get("").HTML
		return strings.Contains(html, `id="revoke-shop"`) && strings.Contains(html, "Client added")
	})
	store.away.Store(true)
	d.Until("the banner", func() bool {
		html := d.Get("").HTML
		return strings.Contains(html, "Clients and journal are as of") && strings.Contains(html, `id="revoke-shop"`) && strings.Contains(html, "Client added") &&
			strings.Contains(html, `<p class="as-of">As of `) && strings.Contains(html, `class="count as-of">As of `) && strings.Count(html, "The store does not answer.") == 1
	})
}

// TestQueues: what waits for whom, and why; without subscribers there is nothing of it.
func TestQueues(t *testing.T) {
	t.Parallel()
	pushed := func(c *gateway.Config) { c.Accounts[0].Callback = consoletest.PushedTo(t) }
	d := consoletest.Start(t, consoletest.Options{Accounts: 1, Change: pushed}).Settled().LogIn()
	if html := d.Get("").HTML; !strings.Contains(html, "Receiving") || strings.Contains(html, "Not responding") {
		t.Error("before a push both subscribers are fine")
	}
	d.Push(consoletest.AppID(0), 3)
	d.Until("it is shown", func() bool { return strings.Contains(d.Get("").HTML, "Not responding") })
	html := d.Get("").HTML
	for _, want := range []string{"one system is not responding to pushes", "It cannot be reached: ", `data-label="Waiting">3 <span class="of">for `, `data-label="Delivered">3</td>`} {
		if !strings.Contains(html, want) {
			t.Errorf("there is no %q", want)
		}
	}
	for _, secret := range []string{consoletest.PushToken, consoletest.PushAESKey, "tokenOfShop", "tokenOfERP"} {
		if strings.Contains(html, secret) {
			t.Errorf("%s is on the page", secret)
		}
	}
	if html := consoletest.Start(t, consoletest.Options{}).LogIn().Get("").HTML; !strings.Contains(html, `aria-labelledby="queues-title" hidden`) {
		t.Error("without subscribers there is a section about them")
	}
}

// TestStates: what stands there when there is nothing yet.
func TestStates(t *testing.T) {
	none := consoletest.Start(t, consoletest.Options{Change: func(c *gateway.Config) { c.Accounts = nil }}).LogIn()
	html := none.Get("").HTML
	for _, want := range []string{"There is no account yet.", "There is no client yet.", "Nothing happened in the last 24 hours."} {
		if !strings.Contains(html, want) {
			t.Errorf("there is no %q", want)
		}
	}
	slow := consoletest.Start(t, consoletest.Options{Faults: []simulator.Fault{{Path: simulator.StableTokenPath, Delay: 1 << 40}}}).LogIn()
	if html := slow.Get("").HTML; !strings.Contains(html, "2 of 2 accounts are being loaded…") || strings.Count(html, `badge wait`) != 2 {
		t.Error("accounts that are being loaded do not look so")
	}
	if got := slow.Get("accounts/wx0"); got.Status != http.StatusNotFound || !strings.Contains(got.HTML, "Page not found") {
		t.Errorf("an account that is not there: %d", got.Status)
	}
}
