package console

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions()
		from := func(id string) *http.Request {
			r := httptest.NewRequest(http.MethodGet, Path, http.NoBody)
			r.AddCookie(&http.Cookie{Name: cookiePlain, Value: id})
			return r
		}
		there := func(id string, person bool) bool { return s.find(from(id), person, time.Now()) != nil }
		ended := func(one *session) bool {
			select {
			case <-one.over:
				return true
			default:
				return false
			}
		}
		idle, one := s.begin(time.Now())
		used, other := s.begin(time.Now())
		if idle == used || len(idle) < 40 || one.csrf == other.csrf {
			t.Fatal("ids repeat themselves, or can be guessed")
		}
		for range 11 {
			time.Sleep(59 * time.Minute)
			if !there(used, true) {
				t.Fatal("a session that is used has ended")
			}
			if there(idle, false) { // what is live keeps nobody logged in
				time.Sleep(2 * time.Minute)
				if there(idle, false) || !ended(one) {
					t.Error("a session without a person has not ended after an hour")
				}
				if !there(used, true) {
					t.Error("the other one has")
				}
			}
		}
		time.Sleep(59 * time.Minute)
		there(used, true)
		time.Sleep(20 * time.Minute)
		if there(used, true) || s.alive(other, time.Now()) || !ended(other) {
			t.Error("a session has not ended after 12 hours")
		}
		if there("", true) || there("x", true) {
			t.Error("no id and a wrong one are a session")
		}

		oldest, first := s.begin(time.Now())
		for range maxSessions {
			time.Sleep(time.Second)
			s.begin(time.Now())
		}
		if there(oldest, true) || !ended(first) || len(s.all) != maxSessions {
			t.Errorf("%d sessions, want %d, without the oldest", len(s.all), maxSessions)
		}

		id, last := s.begin(time.Now())
		for n := range maxStreams + 1 {
			if done, ok := s.stream(last); ok != (n < maxStreams) {
				t.Errorf("stream %d: %t", n, ok)
			} else if n == maxStreams-1 {
				done()
				_, _ = s.stream(last)
			}
		}
		s.logOut(last)
		if there(id, true) || !ended(last) {
			t.Error("a session lives on after its logout")
		}
	})
}

// TestCookie: over TLS it is never sent without, and the logout takes it away.
func TestCookie(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "https://gateway.example"+Path, http.NoBody)
	if c := cookie(r, "x"); r.TLS == nil || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != Path ||
		c.MaxAge != 12*3600 {
		t.Errorf("over TLS: %v", c)
	}
	names := map[string]string{"a": "", "a:80": "_80", "127.0.0.1:8301": "_8301", "[::1]:8302": "_8302", "a:b c": "", "a:99999": ""}
	for host, want := range names {
		r.Host = host
		if c := cookie(r, "x"); c.Name != cookiePlain+want || c.Valid() != nil {
			t.Errorf("at %s it is called %s", host, c.Name)
		}
	}
	r.TLS = nil
	if c := cookie(r, ""); c.Secure || c.MaxAge >= 0 {
		t.Errorf("taken away, on loopback: %v", c)
	}
}

// TestPast: every moment of the day has its quarter, what is older has none, and what
// another clock has ahead is now.
func TestPast(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 7, 0, 0, time.UTC)
	p := newPast(now)
	for ago, want := range map[time.Duration]int{
		0: 95, 7 * time.Minute: 95, 7*time.Minute + 1: 94, -time.Hour: 95, -8 * time.Minute: 95,
		23*time.Hour + 52*time.Minute: 0, 23*time.Hour + 52*time.Minute + 1: -1, 48 * time.Hour: -1,
	} {
		got := -1
		if b := p.at(now.Add(-ago)); b != nil {
			for i := range p.buckets {
				if b == &p.buckets[i] {
					got = i
				}
			}
		}
		if got != want {
			t.Errorf("%s ago: %d, want %d", ago, got, want)
		}
	}
}

// TestNext: the login leads to a page of this one, however that is written.
func TestNext(t *testing.T) {
	for text, want := range map[string]string{
		"/page/accounts/wx1?x=1": "/page/accounts/wx1?x=1", "/page/": "/page/", "/page/../../evil": Path, "/page/%2e%2e/%2e%2e/evil": Path,
		"/page/./x": Path, "//evil/page/": Path, "https://evil/page/": Path, "/page/..\\..\\evil": Path, "/other": Path,
	} {
		if got := nextOf(text); got != want {
			t.Errorf("%s leads to %s", text, got)
		}
	}
}
