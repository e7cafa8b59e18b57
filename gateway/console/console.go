// Package console is the gateway's page for those who run it: how every account's
// token is doing, what was renewed, refused and failed over the last day, the
// clients and what they last did, and the journal, live. Clients are added, given
// another key and revoked there.
//
//	desk, err := console.New(console.Options{Gateway: g, Key: adminKey})
//	...
//	defer desk.Close()
//	server := &http.Server{Handler: desk.Handler(g.Admin(adminKey, reload))}
//	server.RegisterOnShutdown(desk.Close) // ends what is live
//
// It belongs on the admin API's listener and is opened with the admin key. No
// AppSecret, no token and no key of a client is on it, but for a new client's key,
// which is shown this once. It works without its script, and asks no other host for
// anything.
package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/page"
)

// Path is where the page is.
const Path = "/page/"

// minKey is how long an admin key is at least, in bytes; as the admin API has it.
const minKey = 32

// Options configure a Page.
type Options struct {
	Gateway *gateway.Gateway // required

	// Key is the admin key, of at least 32 characters.
	Key custody.Secret

	// Name tells this gateway from others, for people. Empty means the machine's name.
	Name string

	// Version is the program's, for people. It may be empty.
	Version string

	// Hosts are the names under which browsers find the page in plain HTTP, beside
	// localhost and addresses. Another name may be a stranger's that leads here.
	Hosts []string

	// Logger is told of what could not be shown. Nil discards.
	Logger *slog.Logger
}

// Page is the page of one gateway. All methods are safe for concurrent use.
type Page struct {
	gateway  *gateway.Gateway
	key      custody.Secret
	host     string // the machine's name
	name     string
	version  string
	hosts    map[string]bool // in lower case
	log      *slog.Logger
	data     *data
	sessions *sessions
	bell     page.Bell // rings when something was done here

	ctx    context.Context // of what is live
	cancel context.CancelFunc

	mu      sync.Mutex // guards what follows
	streams int
}

// New returns a page, or an error that names the option that cannot be.
func New(o Options) (*Page, error) {
	switch {
	case o.Gateway == nil:
		return nil, errors.New("console: Options.Gateway is nil")
	case len(o.Key.Reveal()) < minKey:
		return nil, errors.New("console: Options.Key, the admin key, needs at least 32 characters: make one with openssl rand -hex 32")
	}
	p := &Page{
		gateway:  o.Gateway,
		key:      o.Key,
		name:     o.Name,
		version:  o.Version,
		hosts:    map[string]bool{"localhost": true},
		log:      o.Logger,
		data:     newData(o.Gateway),
		sessions: newSessions(),
	}
	for _, host := range o.Hosts {
		p.hosts[strings.ToLower(strings.TrimSuffix(host, "."))] = true
	}
	p.host, _ = os.Hostname() // without a name there is none to show
	if p.name == "" {
		p.name = p.host
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// Close ends what is live. The gateway goes on. Closing twice is safe.
func (p *Page) Close() { p.cancel() }

// Handler returns the page below Path, to which "/" leads, and admin for the rest.
func (p *Page) Handler(admin http.Handler) http.Handler {
	own := p.pages()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, Path):
			own.ServeHTTP(w, r)
		case path == "/" || path == strings.TrimSuffix(Path, "/"):
			http.Redirect(w, r, Path, http.StatusSeeOther)
		default:
			admin.ServeHTTP(w, r)
		}
	})
}
