package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

const (
	sessionLife = 12 * time.Hour // however often it is used: a working day
	sessionIdle = time.Hour      // without a request of a person; what is live does not count
	maxSessions = 64             // of more, the one that was unused for longest ends
	maxStreams  = 16             // of one session
	cookiePlain = "zhongkong_page"
)

// session is a browser that has shown the admin key. Its id is known to the browser
// alone: here is its hash.
type session struct {
	csrf    string
	created time.Time
	over    chan struct{} // closed when it has ended

	// The sessions' mutex guards what follows.
	used    time.Time
	streams int
	notices []notice // to be shown with the next page
}

// notice is what came of an act, for the page that is shown after it.
type notice struct {
	Level string // "ok", "warn" or "bad"
	Text  string // in English; the words have it in Chinese
	Args  []any
	Plain string // what follows in its own words
}

// sessions are those of this process: a restart ends them all.
type sessions struct {
	mu  sync.Mutex // guards what follows
	all map[[sha256.Size]byte]*session
}

func newSessions() *sessions { return &sessions{all: map[[sha256.Size]byte]*session{}} }

// begin returns a new session and its id. Of too many, the one that was not used for
// the longest time ends.
func (s *sessions) begin(now time.Time) (id string, _ *session) {
	id = rand.Text() + rand.Text()
	fresh := &session{csrf: rand.Text(), created: now, used: now, over: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	if len(s.all) >= maxSessions {
		var oldest [sha256.Size]byte
		for key, one := range s.all {
			if found := s.all[oldest]; found == nil || one.used.Before(found.used) {
				oldest = key
			}
		}
		s.end(oldest)
	}
	s.all[sha256.Sum256([]byte(id))] = fresh
	return id, fresh
}

// find returns the session of a request, nil when there is none. A request of
// a person keeps it alive.
func (s *sessions) find(r *http.Request, person bool, now time.Time) *session {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	found := s.all[sha256.Sum256([]byte(cookie.Value))]
	if found != nil && person {
		found.used = now
	}
	return found
}

// alive ends those whose time is over, and reports whether one of them lives.
func (s *sessions) alive(one *session, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	select {
	case <-one.over:
		return false
	default:
		return true
	}
}

// logOut ends a session.
func (s *sessions) logOut(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, other := range s.all {
		if other == one {
			s.end(key)
		}
	}
}

// expire ends those whose time is over. The mutex is held, as for end.
func (s *sessions) expire(now time.Time) {
	for key, one := range s.all {
		if now.Sub(one.created) >= sessionLife || now.Sub(one.used) >= sessionIdle {
			s.end(key)
		}
	}
}

func (s *sessions) end(key [sha256.Size]byte) {
	close(s.all[key].over)
	delete(s.all, key)
}

// stream counts a stream of a session, and reports whether there may be one more.
func (s *sessions) stream(one *session) (done func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one.streams >= maxStreams {
		return nil, false
	}
	one.streams++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		one.streams--
	}, true
}

// tell keeps a notice for the next page, and told hands them out.
func (s *sessions) tell(one *session, n notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one.notices = append(one.notices, n)
}

func (s *sessions) told(one *session) []notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := one.notices
	one.notices = nil
	return all
}

// sent reports whether a form is one of the session's own pages.
func (one *session) sent(r *http.Request) bool {
	return subtle.ConstantTimeCompare([]byte(r.PostFormValue("csrf")), []byte(one.csrf)) == 1
}

// isKey compares in a time that says nothing about the key.
func isKey(key custody.Secret, given string) bool {
	want, got := sha256.Sum256([]byte(key.Reveal())), sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// cookieName has the port in it: to a browser, cookies of all ports of a host are one
// jar, and gateways, or tunnels to them, may listen beside one another.
func cookieName(r *http.Request) string {
	_, port, err := net.SplitHostPort(r.Host)
	if _, odd := strconv.ParseUint(port, 10, 16); err != nil || odd != nil {
		return cookiePlain
	}
	return cookiePlain + "_" + port
}

// cookie is the session's; without an id it takes it away.
func cookie(r *http.Request, id string) *http.Cookie {
	c := &http.Cookie{ //nolint:gosec // Secure where there is TLS: the listener serves plain HTTP on loopback
		Name: cookieName(r), Value: id, Path: Path, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil, MaxAge: int(sessionLife / time.Second),
	}
	if id == "" {
		c.MaxAge = -1
	}
	return c
}

// actor names who sent a request, for the journal.
func actor(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = "unknown"
	}
	return "page " + host
}

// nextOf returns where to go on after the login: a page of this one, nowhere else.
func nextOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.EscapedPath(), Path) || strings.Contains(u.EscapedPath(), "//") ||
		path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") || strings.Contains(u.Path, "\\") {
		return Path
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}
