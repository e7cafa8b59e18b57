// Package chat is the simulator's page in the browser: WeChat for the desk. On the
// left are the accounts, their tokens and what can be made to fail; in the middle a
// chat, in which one writes to the app as any of its followers; on the right every
// request both ways, and what became of it.
//
//	desk, err := chat.New(chat.Options{Simulator: simulator.Options{Accounts: accounts}})
//	...
//	defer desk.Close()
//	server := &http.Server{Handler: desk.Handler()} // the page, the admin API and WeChat's API
//	server.RegisterOnShutdown(desk.Close)           // ends what is live
//
// The page shows what happens in the simulator, from any source: what the admin API
// pushes, or the terminal, is in the chat as well. It is for this machine alone,
// as the admin API is (see [simulator.Guard]), and asks no other host for anything.
package chat

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/page"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// Path is where the page is.
const Path = simulator.AdminPath + "page/"

// What is kept for the page; older things are forgotten.
const (
	maxEntries = 200 // requests in the log
	maxBubbles = 200 // of one follower
	maxRooms   = 64  // followers of one account that have said something
	maxFlying  = 16  // pushes of the page's own under way
)

// Options configure a Page.
type Options struct {
	// Simulator are the options of the simulator that the page shows. Its Observe is
	// called as without a page.
	Simulator simulator.Options

	// MadeUp says that the accounts' AppSecret, Token and AES key are made up, so
	// that the page may show them to who asks. Otherwise it never does.
	MadeUp bool
}

// Page is a simulator with a page over it. All methods are safe for concurrent use.
type Page struct {
	Simulator *simulator.Simulator

	madeUp  bool
	life    time.Duration // of tokens
	boot    string        // tells this process's numbers from another one's
	bell    page.Bell     // rings when something has happened
	ctx     context.Context
	cancel  context.CancelFunc
	flights sync.WaitGroup

	mu      sync.Mutex // guards what follows
	closed  bool
	flying  int
	seq     uint64 // grows with every change below
	entries []entry
	rooms   map[roomKey]*room
	order   []roomKey // as they appeared
	lastID  int64     // of the page's own messages
}

// roomKey names the chat of one follower with one account.
type roomKey struct{ appid, openid string }

// room is that chat.
type room struct {
	nickname string
	bubbles  []bubble
}

// New returns a simulator with its page, or an error that names the option that
// cannot be.
func New(o Options) (*Page, error) {
	p := &Page{
		madeUp: o.MadeUp, life: o.Simulator.Life, boot: strconv.FormatUint(rand.Uint64(), 36),
		rooms: map[roomKey]*room{}, lastID: 24_000_000_000_000_000 + rand.Int64N(900_000_000_000_000),
	}
	if p.life == 0 {
		p.life = simulator.DefaultLife
	}
	also := o.Simulator.Observe
	o.Simulator.Observe = func(e simulator.Event) {
		if also != nil {
			also(e)
		}
		p.observe(e)
	}
	wx, err := simulator.New(o.Simulator)
	if err != nil {
		return nil, err
	}
	p.Simulator = wx
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for _, a := range wx.Accounts() {
		for _, openid := range a.Followers {
			p.room(roomKey{a.AppID, openid})
		}
	}
	return p, nil
}

// Close ends what is live and what the page is sending, and waits for the latter.
// The simulator continues.
func (p *Page) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.flights.Wait()
}

// Handler returns the page below Path, the admin API, and WeChat's API.
func (p *Page) Handler() http.Handler {
	rest, own := p.Simulator.Handler(), p.pages()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, Path) || r.URL.Path == strings.TrimSuffix(Path, "/") {
			own.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// fly runs what may take as long as an app does, until Close.
func (p *Page) fly(do func(ctx context.Context)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return errors.New("the simulator is about to end")
	case p.flying >= maxFlying:
		return errors.New("your app has not yet answered the messages before: wait for a few seconds")
	}
	p.flying++
	p.flights.Go(func() {
		do(p.ctx)
		p.mu.Lock()
		p.flying--
		p.mu.Unlock()
	})
	return nil
}

// changed returns the next number. The mutex is held, and the caller rings when he
// has let it go.
func (p *Page) changed() uint64 {
	p.seq++
	return p.seq
}

// room returns a follower's chat, nil when there are too many. The mutex is held, or
// nobody else knows the page yet.
func (p *Page) room(key roomKey) *room {
	if r := p.rooms[key]; r != nil {
		return r
	}
	n := 0
	for _, other := range p.order {
		if other.appid == key.appid {
			n++
		}
	}
	if key.openid == "" || n >= maxRooms {
		return nil
	}
	r := &room{nickname: nicknames[n%len(nicknames)]}
	if n >= len(nicknames) {
		r.nickname += " " + strconv.Itoa(n/len(nicknames)+1)
	}
	p.rooms[key] = r
	p.order = append(p.order, key)
	return r
}

// nicknames are given to openids in their order, as WeChat tells no real ones
// either.
var nicknames = []string{"小明", "小红", "小刚", "小芳", "小华", "小丽"}

// say puts a bubble at the end of a chat, unless there are too many chats.
func (p *Page) say(key roomKey, b bubble) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.append(key, b)
}

// append is say while the mutex is held.
func (p *Page) append(key roomKey, b bubble) {
	r := p.room(key)
	if r == nil {
		return
	}
	b.seq = p.changed()
	b.number = b.seq
	if b.at.IsZero() {
		b.at = time.Now()
	}
	if len(r.bubbles) == maxBubbles {
		r.bubbles = slices.Delete(r.bubbles, 0, 1)
	}
	r.bubbles = append(r.bubbles, b)
}
