package source

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/store"
)

// Config says where the gateway is and who asks.
type Config struct {
	// Gateway is the gateway's address, such as https://zhongkong:8300. Several,
	// separated by commas, are asked in turn: the next one when one does not answer.
	// They are gateways over one store. With http:// whoever reads along has the key.
	Gateway string

	// Key is the client's key, which zhongkong client add has printed.
	Key custody.Secret

	// AppID is the account's.
	AppID string

	// Transport carries the requests to the gateway. Nil means one with timeouts that
	// obeys HTTPS_PROXY. Give one for a CA or a client certificate of your own:
	//
	//	&http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: …}, ForceAttemptHTTP2: true}
	//
	// It sees keys and tokens.
	Transport http.RoundTripper

	// Store keeps the last token beyond the end of the process, and for several
	// processes with one key, which then share one hand-out. Nil means memory. Close
	// does not close it.
	Store custody.Store

	// SealKeys, 32 bytes each, encrypt the token in Store: the first seals, all open.
	SealKeys []custody.Secret

	// Timing bounds the steps of fetching a token. The zero value is right; tests
	// shrink it.
	Timing custody.Timing

	// Scheduler is shared by programs with many accounts. Nil gives the Source one of
	// its own.
	Scheduler *custody.Scheduler

	// Logger is told of new tokens (Info) and failures (Warn). Nil discards.
	Logger *slog.Logger

	// Trace is told what the Keepers do, for programs. Nil costs nothing.
	Trace *custody.Trace
}

// probeTimeout is how long a gateway may take for a Reject, which asks WeChat and
// perhaps fetches.
const probeTimeout = 20 * time.Second

// WithDefaults returns a copy with every zero field filled in that has a default.
func (c Config) WithDefaults() Config {
	if c.Timing.ProbeTimeout == 0 {
		c.Timing.ProbeTimeout = probeTimeout
	}
	c.Timing = c.Timing.WithDefaults()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Source is an account's token, from a gateway. It is safe for concurrent use; a
// program has one for each account.
type Source struct {
	cfg      Config
	gateways *gateways
	store    custody.Store
	kept     *kept // the token
	signs    chan struct{}

	cancel    context.CancelFunc
	listening sync.WaitGroup

	mu      sync.Mutex // guards what follows
	tickets map[string]*kept
	closed  bool
}

// New checks cfg and returns a Source that begins to ask the gateway in the
// background. An error says which field to change; a gateway that is unavailable is none.
func New(cfg Config) (*Source, error) {
	cfg = cfg.WithDefaults()
	gateways, err := newGateways(cfg)
	if err != nil {
		return nil, err
	}
	s := &Source{cfg: cfg, gateways: gateways, store: cfg.Store, signs: make(chan struct{}, 1), tickets: map[string]*kept{}}
	if s.store == nil {
		s.store = newMemory()
	}
	if s.kept, err = s.keep("access_token", ""); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.listening.Go(func() { s.listen(ctx) })
	return s, nil
}

// keep begins to keep the token, or a ticket, that the gateway hands out. Its record
// names the key, so that programs with different rights may share a store.
func (s *Source) keep(name, ticketType string) (*kept, error) {
	id := sha256.Sum256([]byte(s.cfg.Key.Reveal()))
	key := custody.Key{Kind: name, AppID: s.cfg.AppID, API: "gateway", Host: hex.EncodeToString(id[:4])}
	i := &issuer{gateways: s.gateways, appID: s.cfg.AppID, ticket: ticketType, answered: s.sign, asking: make(chan struct{}, 1)}
	k, err := newKept(i, func(kind custody.Kind) (*custody.Keeper, error) {
		return custody.New(custody.Config{
			Key: key, Kind: kind, Store: s.store, SealKeys: s.cfg.SealKeys,
			Secret: custody.NewSecret(rand.Text()), // a gateway that one Keeper cannot reach holds back no other one
			Timing: s.cfg.Timing, Scheduler: s.cfg.Scheduler, Logger: s.cfg.Logger, Trace: s.cfg.Trace,
		})
	})
	if err != nil {
		return nil, named.Errorf("source", "%w", err)
	}
	return k, nil
}

// sign notes that a gateway takes the key.
func (s *Source) sign() {
	select {
	case s.signs <- struct{}{}:
	default:
	}
}

// Token returns the live token: at once when there is one, whether or not a gateway
// can be reached; see [custody.Keeper.Token], also for its errors. Before it returns an
// error a gateway is asked, at most once a second for all callers.
func (s *Source) Token(ctx context.Context) (custody.Token, error) { return s.kept.token(ctx) }

// Reject says that a token was refused (40001, 40014, 42001), and returns the one to
// use instead. See [custody.Keeper.Reject]; the gateway does what is said there.
func (s *Source) Reject(ctx context.Context, refused string) (custody.Token, error) {
	return s.kept.reject(ctx, refused)
}

// Ticket returns the account's live ticket of a type, "jsapi" or "wx_card", as Token
// does the token. The first call for a type begins to keep it.
func (s *Source) Ticket(ctx context.Context, ticketType string) (custody.Token, error) {
	k, err := s.ticket(ticketType)
	if err != nil {
		return custody.Token{}, err
	}
	return k.token(ctx)
}

// RejectTicket says that a page found a ticket invalid, and returns the one to use
// instead, as Reject does for the token. An error that wraps [custody.ErrRefused] says
// that there is no other one now.
func (s *Source) RejectTicket(ctx context.Context, ticketType, refused string) (custody.Token, error) {
	k, err := s.ticket(ticketType)
	if err != nil {
		return custody.Token{}, err
	}
	return k.reject(ctx, refused)
}

func (s *Source) ticket(ticketType string) (*kept, error) {
	if ticketType != "jsapi" && ticketType != "wx_card" {
		return nil, fmt.Errorf(`source: there is no ticket of type %q: it is "jsapi" or "wx_card"`, ticketType)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, custody.ErrClosed
	}
	if k := s.tickets[ticketType]; k != nil {
		return k, nil
	}
	k, err := s.keep(ticketType+"_ticket", ticketType)
	if err != nil {
		return nil, err
	}
	s.tickets[ticketType] = k
	return k, nil
}

// Status reports how the token is doing, without the token. It waits for nothing.
func (s *Source) Status() custody.Status { return s.kept.keeper.Load().Status() }

// Close ends the Source and waits for what it does in the background. Closing twice
// is safe.
func (s *Source) Close() error {
	s.cancel()
	s.listening.Wait()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	var err error
	for _, k := range s.tickets { // nobody adds to them now
		err = errors.Join(err, k.close())
	}
	err = errors.Join(err, s.kept.close())
	s.gateways.idle()
	return err
}

// Format implements [fmt.Formatter]: whose source it is.
func (s *Source) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "source.Source(%s)", s.cfg.AppID) }

// newMemory returns a store that ends with the process.
func newMemory() custody.Store {
	documents := map[custody.Key][]byte{} // StoreFunc makes one call at a time
	return store.Func(
		func(_ context.Context, key custody.Key) ([]byte, error) { return documents[key], nil },
		func(_ context.Context, key custody.Key, data []byte) error {
			documents[key] = data
			return nil
		},
	)
}
