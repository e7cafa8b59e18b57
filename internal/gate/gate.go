package gate

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	mostPlaces = 768      // of strangers: with TLS a connection takes some 60 KiB
	mostBytes  = 16 << 20 // from strangers, that were not dealt with yet
	share4     = 4        // of the descriptors, one in so many is for strangers

	headTime  = 10 * time.Second // for a request's header, and for a TLS handshake
	idleTime  = 2 * time.Minute  // between two requests of a proven connection
	headBytes = 64 << 10
	sayEvery  = time.Minute
)

// Config describes a Gate. A zero field means its default.
type Config struct {
	Places int          // connections of strangers; a quarter of the descriptors, 768 at most
	Bytes  int64        // from strangers, not dealt with yet; 16 MiB
	Log    *slog.Logger // receives, at Warn and at most once a minute, what could not be accepted and who had to go
}

// Gate is the gatekeeper of a program's listeners, which share its room.
type Gate struct {
	room *Room
	log  *slog.Logger

	mu   sync.Mutex // guards what follows
	said map[string]saying
}

// saying is a line of the log that is said once a minute.
type saying struct {
	at    time.Time
	count int // since then
}

// New returns a Gate.
func New(cfg Config) *Gate {
	if cfg.Places == 0 {
		cfg.Places = mostPlaces
		if n := descriptors() / share4; n > 0 {
			cfg.Places = max(1, min(cfg.Places, n))
		}
	}
	if cfg.Bytes == 0 {
		cfg.Bytes = mostBytes
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gate{log: cfg.Log, said: map[string]saying{}}
	g.room = NewRoom(cfg.Places, cfg.Bytes, func(addr netip.Addr) {
		if times, due := g.due("room"); due {
			g.log.Warn("connections are closed that have proven nothing, to make room for others: there are too many of them",
				"log_code", "gate_strangers_closed", "of", addr.String(), "times", times)
		}
	})
	return g
}

// Server returns a server for handler, to serve a listener that Listen returned. Bodies
// that nobody reads have to arrive in time too: net/http reads them before its answer.
func (g *Gate) Server(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength != 0 {
				_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(Patience)) // net/http's writer has one
			}
			handler.ServeHTTP(w, r)
		}),
		ConnContext:       connContext,
		ReadHeaderTimeout: headTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headBytes,
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
}

// Listen returns l with the gatekeeper at it.
func (g *Gate) Listen(l net.Listener) net.Listener { return &listener{l, g} }

type listener struct {
	net.Listener

	gate *Gate
}

// Accept implements [net.Listener]. When there are no descriptors left, a stranger has
// to go.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	switch {
	case err == nil:
		l.gate.room.Await()
		return newConn(c, l.gate.room), nil
	case !errors.Is(err, net.ErrClosed):
		if times, due := l.gate.due("accept"); due {
			l.gate.log.Warn("a connection could not be accepted", "log_code", "gate_not_accepted", "error", err.Error(), "times", times)
		}
		l.gate.room.relieve()
	}
	return nil, err
}

// due reports whether a thing is to be said: once a minute, with how often it was the case
// since it was last said.
func (g *Gate) due(what string) (times int, due bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.said[what]
	s.count++
	times = s.count
	if now := time.Now(); s.at.IsZero() || now.Sub(s.at) >= sayEvery {
		s, due = saying{at: now}, true
	}
	g.said[what] = s
	return times, due
}
