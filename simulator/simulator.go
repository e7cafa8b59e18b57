package simulator

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/named"
)

// The defaults of Options.
const (
	DefaultLife     = 7200 * time.Second // WeChat: at most 7200 s
	DefaultEvents   = 1024
	DefaultPatience = 5 * time.Second // WeChat: no answer within 5 s is none

	maxOverlap = 5 * time.Minute // WeChat: old and new work side by side for 5 min
)

// Options configure a Simulator. The zero value is a WeChat with one made-up
// account and WeChat's own times and limits.
type Options struct {
	// Accounts are the accounts that exist. With none, one is made up;
	// [Simulator.Accounts] tells it.
	Accounts []Account

	// Life is how long tokens live and what expires_in states, in whole seconds.
	// 0 means DefaultLife.
	Life time.Duration

	// Overlap is how long a superseded token works on after its successor was
	// issued, and how long before its end stable_token renews by itself. 0 means
	// Life/24 and at most 5 min, so 5 min for WeChat's own life; a negative value
	// means none: a superseded token dies at once.
	Overlap time.Duration

	// Seed makes accounts, tokens and rids the same in every run: an account's
	// n-th token in a pool depends on Seed and its AppID alone. 0 draws a seed.
	Seed uint64

	// Clock is the time by which tokens and quotas age. Nil means one of the
	// simulator's own; several simulators may share one.
	Clock *Clock

	// Events is how many of the last calls and pushes Simulator.Events remembers. 0 means
	// DefaultEvents; a negative value means none.
	Events int

	// AcceptChunked takes request bodies without Content-Length. Otherwise they
	// are answered 412 with an empty body, as users of WeChat have met.
	AcceptChunked bool

	// AcceptEscapes takes JSON with \uXXXX escapes where WeChat refuses it with
	// 40033: in menus, template messages and customer service messages.
	AcceptEscapes bool

	// Skew is how far WeChat's clock is ahead of this machine's (negative: behind)
	// in what it says to others: in rids, in the Date of answers, and in the
	// timestamp and CreateTime of pushes. Simulator.SetSkew changes it.
	Skew time.Duration

	// Patience is how long WeChat waits for the answer to a push, and what lies
	// between the beginnings of two deliveries. 0 means DefaultPatience.
	Patience time.Duration

	// Observe, if not nil, is called with every Event when it has ended, by the
	// goroutine that served it.
	Observe func(Event)
}

func (o Options) withDefaults() Options {
	if o.Life == 0 {
		o.Life = DefaultLife
	}
	switch {
	case o.Overlap == 0:
		o.Overlap = min(maxOverlap, o.Life/24)
	case o.Overlap < 0:
		o.Overlap = 0
	}
	if o.Seed == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails, by its documentation
		o.Seed = binary.LittleEndian.Uint64(b[:])
	}
	if o.Clock == nil {
		o.Clock = new(Clock)
	}
	switch {
	case o.Events == 0:
		o.Events = DefaultEvents
	case o.Events < 0:
		o.Events = 0
	}
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	if len(o.Accounts) == 0 {
		o.Accounts = []Account{MakeUpAccount(o.Seed)}
	}
	return o
}

func (o Options) validate() error {
	if o.Life < time.Second || o.Life%time.Second != 0 {
		return named.Errorf("simulator", "Options.Life is %s: it must be a whole number of seconds, at least one", o.Life)
	}
	if o.Overlap >= o.Life {
		return named.Errorf("simulator", "Options.Overlap is %s: it must be shorter than Options.Life, %s", o.Overlap, o.Life)
	}
	if o.Patience < 0 {
		return named.Errorf("simulator", "Options.Patience is %s: it must not be negative", o.Patience)
	}
	return nil
}

// Simulator plays WeChat: as an [http.Handler] api.weixin.qq.com, and with Push the
// sender of messages. It keeps no goroutine and needs no closing. All methods are safe for concurrent use.
//
// Methods that name an account panic when it does not exist: in a test that is
// a mistake to report. [Simulator.Update] returns an error instead.
type Simulator struct {
	// Clock is the time by which tokens and quotas age.
	Clock *Clock

	options    Options
	accounts   map[string]*account // never written after New
	order      []*account
	nobody     *account // calls that belong to no account are counted here
	tokens     sync.Map // value → *token
	userTokens sync.Map // value → *userGrant
	faults     faults
	events     ring[Event]
	rids       ring[ridRecord]
	ridCount   atomic.Uint64
	skew       atomic.Int64
	routes     map[string]endpoint // never written after New
	corps      map[string]*corp    // by corpid, likewise
	corpPaths  map[string]endpoint // likewise
	onlyCorps  bool                // there are WeCom apps alone
	scenes     scenes
	network    http.RoundTripper
	since      time.Time // when everybody began to follow
}

var _ http.Handler = (*Simulator)(nil)

// New returns a Simulator, or an error that names the option that cannot be.
func New(options Options) (*Simulator, error) {
	o := options.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Simulator{
		Clock:    o.Clock,
		options:  o,
		accounts: make(map[string]*account, len(o.Accounts)),
		events:   ring[Event]{size: o.Events},
		rids:     ring[ridRecord]{size: maxRIDs},
		routes:   routes(),
		corps:    map[string]*corp{}, corpPaths: corpRoutes(), onlyCorps: true,
		network: newNetwork(),
		faults:  faults{seed: o.Seed},
	}
	s.SetSkew(o.Skew)
	s.since = s.wall()
	s.nobody = newAccount(s, Account{}, nil)
	for _, conf := range o.Accounts {
		conf = conf.complete()
		list, err := conf.check()
		if err != nil {
			return nil, named.Errorf("simulator", "Options.Accounts: %w", err)
		}
		if s.accounts[conf.AppID] != nil {
			return nil, named.Errorf("simulator", "Options.Accounts: %w", fmt.Errorf("%s appears twice", conf.AppID))
		}
		a := newAccount(s, conf, list)
		s.accounts[conf.AppID] = a
		s.order = append(s.order, a)
		s.addCorp(a)
		s.onlyCorps = s.onlyCorps && a.corp != nil
	}
	return s, nil
}

// find returns the account or panics, for the methods that name one.
func (s *Simulator) find(appid string) *account {
	a := s.accounts[appid]
	if a == nil {
		panic("simulator: there is no account " + appid)
	}
	return a
}
