// Package chat is the simulator's page in the browser: WeChat for the desk. On the
// left are the accounts, their tokens and what can be made to fail; in the middle a
// chat, in which one writes to the app as any of its followers; on the right every
// request both ways, and what became of it.
//
//	wx, err := simulator.New(simulator.Options{Accounts: accounts})
//	...
//	desk, err := chat.New(wx.Handler())
//	...
//	defer desk.Close()
//	server := &http.Server{Handler: desk.Handler()} // the page, the admin API and WeChat's API
//	server.RegisterOnShutdown(desk.Close)           // ends what is live
//
// All that the page knows of the simulator is its admin API (see [simulator.Simulator.Admin]):
// a program can do by HTTP what the page does. It shows what happens in the simulator, from
// any source: what a program pushes, or the terminal, is in the chat as well. It is for this
// machine alone, as the admin API is, and asks no other host for anything.
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

// patience is how long one call waits for the next event.
const patience = 30 * time.Second

// What is kept for the page; older things are forgotten.
const (
	maxEntries = 200 // requests in the log
	maxBubbles = 200 // of one follower
	maxRooms   = 64  // followers of one account that have said something
	maxFlying  = 16  // pushes of the page's own under way
)

// Page is a page over a simulator. All methods are safe for concurrent use.
type Page struct {
	wechat  api
	boot    string    // tells this process's numbers from another one's
	bell    page.Bell // rings when something has happened
	ctx     context.Context
	cancel  context.CancelFunc
	flights sync.WaitGroup

	reading sync.Mutex // held while events are read; guards seen
	seen    uint64     // the number of the last event that is on the page

	mu      sync.Mutex // guards what follows
	closed  bool
	flying  int
	seq     uint64 // grows with every change below
	entries []entry
	rooms   map[roomKey]*room
	order   []roomKey // as they appeared
}

// roomKey names the chat of one follower with one account.
type roomKey struct{ appid, openid string }

// room is that chat.
type room struct {
	nickname string
	bubbles  []bubble
}

// New returns a page over the simulator whose [simulator.Simulator.Handler] it is given.
// The caller closes it. A simulator that remembers no events (Options.Events) has a page
// without requests and replies. The error says that the handler is no simulator's.
func New(wechat http.Handler) (*Page, error) {
	p := &Page{wechat: api{wechat}, boot: strconv.FormatUint(rand.Uint64(), 36), rooms: map[roomKey]*room{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	all, err := p.wechat.accounts(p.ctx, false)
	if err != nil {
		p.cancel()
		return nil, err
	}
	for _, a := range all.Accounts {
		for _, openid := range a.Followers {
			p.room(roomKey{a.AppID, openid})
		}
	}
	p.flights.Go(p.follow)
	return p, nil
}

// follow reads events until Close.
func (p *Page) follow() {
	for p.ctx.Err() == nil {
		p.reading.Lock()
		seen := p.seen
		p.reading.Unlock()
		if events, err := p.wechat.events(p.ctx, seen, patience); err == nil {
			p.reading.Lock()
			p.take(events)
			p.reading.Unlock()
		} else {
			p.pause()
		}
	}
}

// pause waits before an API that has answered with an error is asked again.
func (p *Page) pause() {
	select {
	case <-time.After(time.Second):
	case <-p.ctx.Done():
	}
}

// catchUp reads what has happened up to now: what a caller has been answered is on the page
// that he opens next.
func (p *Page) catchUp() {
	p.reading.Lock()
	defer p.reading.Unlock()
	if events, err := p.wechat.events(p.ctx, p.seen, 0); err == nil {
		p.take(events)
	}
}

// take takes events that are new into the log and into the chats. p.reading is held.
func (p *Page) take(events []event) {
	for _, e := range events {
		if e.Number > p.seen {
			p.seen = e.Number
			p.observe(e)
		}
	}
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
	rest, own := p.wechat.handler, p.pages()
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
