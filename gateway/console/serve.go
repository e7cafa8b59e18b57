package console

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/internal/page"
	"github.com/zhongkong-go/zhongkong/store"
)

const (
	maxForm    = 64 << 10    // bytes
	allStreams = 64          // of all sessions
	tick       = time.Second // how often a page is looked at
	quietTicks = 15          // after which a browser is shown that somebody is there
)

// served answers a request of a session.
type served func(w http.ResponseWriter, r *http.Request, one *session)

// pages serves the page itself.
func (p *Page) pages() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+Path+"static/", page.Static(files()))
	mux.HandleFunc("GET "+Path+"login", p.showLogin)
	mux.HandleFunc("POST "+Path+"login", p.logIn)
	mux.HandleFunc("GET "+Path+"live", p.live)
	for pattern, serve := range map[string]served{
		"GET " + Path + "{$}":                       p.showOverview,
		"GET " + Path + "accounts/{appid}":          p.showAccount,
		"GET " + Path + "accounts/{appid}/refresh":  p.ask(askRefresh),
		"POST " + Path + "accounts/{appid}/refresh": p.doRefresh,
		"GET " + Path + "clients/add":               p.ask(askAdd),
		"POST " + Path + "clients/add":              p.doAdd,
		"GET " + Path + "clients/rotate":            p.ask(askRotate),
		"POST " + Path + "clients/rotate":           p.doRotate,
		"GET " + Path + "clients/sites":             p.ask(askSites),
		"POST " + Path + "clients/sites":            p.doSites,
		"GET " + Path + "clients/title":             p.ask(askTitle),
		"POST " + Path + "clients/title":            p.doTitle,
		"GET " + Path + "clients/revoke":            p.ask(askRevoke),
		"POST " + Path + "clients/revoke":           p.doRevoke,
		"POST " + Path + "logout":                   p.logOut,
		"GET " + Path:                               p.notFound,
	} {
		mux.HandleFunc(pattern, p.inSession(serve))
	}
	foreign, choosing := http.NewCrossOriginProtection(), page.Choosing(mux)
	return page.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var visit gate.Visit
		r, fits := visit.Enter(w, r, maxForm)
		defer visit.Leave()
		if !fits {
			http.Error(w, "No form of this page is so long.", http.StatusRequestEntityTooLarge)
			return
		}
		if !p.named(r) {
			http.Error(w, "The page is not at this name. Open it by its address, or add the name to admin.hosts of the gateway's configuration.", http.StatusMisdirectedRequest)
			return
		}
		if p.sessions.find(r, false, time.Now()) != nil {
			visit.Prove()
		}
		if err := foreign.Check(r); err != nil {
			http.Error(w, "This form was sent by another site, so nothing was done.", http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		choosing.ServeHTTP(w, r)
	}))
}

// named reports whether the page is meant by the name in a request. A web page can make its
// own name point here, and a browser would then let it read this one. Over TLS
// it cannot: it has no certificate of ours.
func (p *Page) named(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return p.hosts[strings.ToLower(strings.TrimSuffix(host, "."))]
}

// inSession leads who has not logged in to the login, and refuses forms that are none
// of the session's pages.
func (p *Page) inSession(serve served) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		one := p.sessions.find(r, true, time.Now())
		switch {
		case one == nil && r.Method == http.MethodGet:
			next := ""
			if r.URL.Path != Path || r.URL.RawQuery != "" {
				next = "?" + query("next", r.URL.RequestURI())
			}
			http.Redirect(w, r, Path+"login"+next, http.StatusSeeOther)
		case one == nil:
			http.Redirect(w, r, Path+"login", http.StatusSeeOther)
		case r.Method != http.MethodGet && !one.sent(r):
			http.Error(w, "This form is of an earlier session, or of another site, so nothing was done. Go back, load the page again and repeat it.", http.StatusForbidden)
		default:
			serve(w, r, one)
		}
	}
}

// write answers a whole page.
func (p *Page) write(w http.ResponseWriter, status int, name string, v *view) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", string(v.Lang))
	h.Set("Vary", "Accept-Language, Cookie")
	html := v.render(name, v)
	if html == "" {
		status, html = http.StatusInternalServerError, "The page cannot be shown. The gateway's log says why."
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, html) //nolint:gosec // html/template has escaped it
}

func (p *Page) showOverview(w http.ResponseWriter, r *http.Request, one *session) {
	v := p.look(r, one)
	v.Live = true
	v.overview()
	v.Notices = p.sessions.told(one)
	p.write(w, http.StatusOK, "overview", v)
}

func (p *Page) showAccount(w http.ResponseWriter, r *http.Request, one *session) {
	v := p.look(r, one)
	if !v.account() {
		p.notFound(w, r, one)
		return
	}
	v.Live, v.Notices = true, p.sessions.told(one)
	p.write(w, http.StatusOK, "account", v)
}

func (p *Page) notFound(w http.ResponseWriter, r *http.Request, one *session) {
	p.write(w, http.StatusNotFound, "missing", p.look(r, one))
}

func (p *Page) showLogin(w http.ResponseWriter, r *http.Request) {
	next := nextOf(r.URL.Query().Get("next"))
	if p.sessions.find(r, true, time.Now()) != nil {
		http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // nextOf leads to this page alone
		return
	}
	v := p.look(r, nil)
	v.Next = next
	p.write(w, http.StatusOK, "login", v)
}

// logIn begins a session. That is in the journal, but a store that is away keeps
// nobody from seeing what is wrong.
func (p *Page) logIn(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil { // before anything is made for a page: many strangers begin a form and do not end it
		http.Error(w, "This form did not arrive whole. Go back and send it again.", http.StatusBadRequest)
		return
	}
	v := p.look(r, nil)
	v.Next = nextOf(r.PostFormValue("next"))
	if !isKey(p.key, strings.TrimSpace(r.PostFormValue("key"))) {
		status := http.StatusUnauthorized
		v.Problem = v.T("That is not the admin key.")
		if !p.gateway.WrongKey(r.RemoteAddr) {
			status = http.StatusTooManyRequests
			v.Problem = v.T("That is not the admin key, and there were many wrong ones from your address: wait a minute.")
		}
		p.write(w, status, "login", v)
		return
	}
	if err := p.gateway.Note(r.Context(), store.Use{Actor: actor(r), Act: "log in"}); err != nil {
		p.log.Warn("a login is not in the journal", "log_code", "console_login_not_in_journal", "remote", r.RemoteAddr, "error", err)
	}
	id, _ := p.sessions.begin(time.Now())
	http.SetCookie(w, cookie(r, id))
	http.Redirect(w, r, v.Next, http.StatusSeeOther)
}

func (p *Page) logOut(w http.ResponseWriter, r *http.Request, one *session) {
	p.sessions.logOut(one)
	http.SetCookie(w, cookie(r, ""))
	http.Redirect(w, r, Path+"login", http.StatusSeeOther)
}

// live sends what changes, until the browser is gone or its session is over.
func (p *Page) live(w http.ResponseWriter, r *http.Request) {
	one := p.sessions.find(r, false, time.Now())
	if one == nil {
		_ = page.NewStream(w).Send("reload", "", nil) // to the login
		return
	}
	leave, ok := p.join(one)
	if !ok {
		http.Error(w, "The page is open too often.", http.StatusServiceUnavailable)
		return
	}
	defer leave()
	stream := page.NewStream(w)
	if stream.Send("", "", nil) != nil { // shows the browser that it is connected
		return
	}
	v := p.look(r, one)
	at, sent := v.At, newSent()
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for quiet := 0; ; quiet++ {
		next := p.bell.Next()
		v.At = at
		changed, there := v.news(sent)
		switch {
		case !there:
			_ = stream.Send("reload", "", nil)
			return
		case len(changed) > 0:
			if stream.Send("pieces", "", changed) != nil {
				return
			}
			quiet = 0
		case quiet >= quietTicks:
			if stream.Send("", "", nil) != nil {
				return
			}
			quiet = 0
		}
		select {
		case <-next:
		case <-ticks.C:
			p.sessions.alive(one, time.Now())
		case <-one.over:
			_ = stream.Send("reload", "", nil)
			return
		case <-r.Context().Done():
			return
		case <-p.ctx.Done():
			return
		}
	}
}

// join counts a stream, and reports whether there may be one more.
func (p *Page) join(one *session) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.streams >= allStreams {
		return nil, false
	}
	done, ok := p.sessions.stream(one)
	if !ok {
		return nil, false
	}
	p.streams++
	return func() {
		done()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.streams--
	}, true
}

// sent is what a browser has got already.
type sent struct {
	html  map[string]string // of the pieces, by id
	order string            // of the rows
}

func newSent() *sent { return &sent{html: map[string]string{}} }

// news returns the pieces that differ from those sent, and reports whether what is
// looked at is there at all.
func (v *view) news(s *sent) (changed []page.Piece, there bool) {
	put := func(in, id, html string) {
		if s.html[id] != html {
			changed = append(changed, page.Piece{ID: id, In: in, HTML: html})
			s.html[id] = html
		}
	}
	if v.AppID != "" {
		if !v.account() {
			return nil, false
		}
		for _, id := range []string{"state", "lines-as-of"} {
			put("", id, v.render(id, v))
		}
	} else {
		v.overview()
		for _, id := range []string{"health", "count", "turn", "clients", "queues", "lines-as-of"} {
			put("", id, v.render(id, v))
		}
		v.newsOfRows(s, put)
	}
	plot := v.Plot()
	put("", plot.ID, v.render("plot", plot))
	known := map[string]string{}
	for _, l := range slices.Backward(v.lines) { // the newest comes last, and is put first
		put("lines", l.ID(), v.render("line", l))
		known[l.ID()] = s.html[l.ID()]
	}
	for id := range s.html { // what is too old to be shown need not be remembered
		if strings.HasPrefix(id, "line-") && known[id] == "" {
			delete(s.html, id)
		}
	}
	return changed, true
}

// newsOfRows sends the rows that have changed, or all when they stand in another order.
func (v *view) newsOfRows(s *sent, put func(in, id, html string)) {
	var order strings.Builder
	for _, r := range v.rows {
		order.WriteString(r.AppID() + " ")
	}
	if now := order.String(); now != s.order || len(v.rows) == 0 {
		s.order = now
		put("", "rows", v.render("rows", v))
		for _, r := range v.rows {
			s.html[r.ID()] = v.render("row", r)
		}
		return
	}
	delete(s.html, "rows") // the next order is sent even if it was there before
	for _, r := range v.rows {
		put("", r.ID(), v.render("row", r))
	}
}
