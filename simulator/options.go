package simulator

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/named"
)

// The defaults of Options, for tests that advance the clock by a token's life or wait as long
// as WeChat does.
const (
	DefaultLife     = 7200 * time.Second // WeChat: at most 7200 s
	DefaultEvents   = 1024               // enough for a test's calls, and at most 8 MiB of bodies
	DefaultPatience = 5 * time.Second    // WeChat waits 5 s for an answer

	maxOverlap = 5 * time.Minute // WeChat: old and new work side by side for 5 min
)

// Options configure a Simulator. The zero value is a WeChat with one made-up
// account and WeChat's own times and limits.
type Options struct {
	// Accounts are the accounts that exist. With none, one is made up;
	// [Simulator.Accounts] tells it.
	Accounts []Account

	// MadeUp says that the accounts' AppSecret, Token and AES key are made up, so that the
	// admin API and the page over it show them if they are asked for. Otherwise they never
	// do. Without Accounts it is true.
	MadeUp bool

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
		o.Accounts, o.MadeUp = []Account{MakeUpAccount(o.Seed)}, true
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
