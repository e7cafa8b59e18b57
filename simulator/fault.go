package simulator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Values of Fault.Path that name more than one path, for faults that do not depend on which
// API a program calls.
const (
	Everything = ""        // every call
	Fetches    = "fetches" // both token endpoints
	APICalls   = "calls"   // everything but the token endpoints
)

// Cut says how the connection fails, for tests of an answer that got lost.
type Cut int

// The ways in which an answer is lost.
const (
	CutNothing Cut = iota // the whole answer arrives
	CutAnswer             // the connection ends before the first byte of the answer; see Fault.Cut
	CutBody               // the connection ends in the middle of the body
	CutShort              // half of the body, sent as if it were the whole
)

var cuts = []string{CutNothing: "", CutAnswer: "answer", CutBody: "body", CutShort: "short"}

// MarshalText writes a Cut as "", "answer", "body" or "short".
func (c Cut) MarshalText() ([]byte, error) {
	if c < 0 || int(c) >= len(cuts) {
		return nil, fmt.Errorf("there is no Cut %d", int(c))
	}
	return []byte(cuts[c]), nil
}

// UnmarshalText reads what MarshalText writes.
func (c *Cut) UnmarshalText(text []byte) error {
	i := slices.Index(cuts, string(text))
	if i < 0 {
		return fmt.Errorf("there is no cut %q: answer, body and short exist", text)
	}
	*c = Cut(i)
	return nil
}

// Fault is something that goes wrong with a call: inject it to see what your program does on
// a bad day of WeChat's.
//
// Without After it happens on the way to WeChat: the call is carried out only if
// an answer of WeChat's comes of it. With After it happens on the way back: the
// call is carried out first, a token is issued and counted, and then the caller
// waits, gets another answer, or none.
type Fault struct {
	Path  string `json:"path,omitempty"`  // a path such as "/cgi-bin/token", a prefix such as "/cgi-bin/menu/*", or Everything, Fetches, APICalls
	AppID string `json:"appid,omitempty"` // "" means every account, and calls of none
	Times int    `json:"times,omitempty"` // how many calls it happens to; 0 means all until it is removed

	// Rate is the share of the matching calls that it happens to, above 0 and up
	// to 1; the Options.Seed decides which. 0 means all.
	Rate float64 `json:"rate,omitempty"`

	// After lets it happen when the call has been carried out.
	After bool `json:"after,omitempty"`

	// Delay is a span of real time. A caller that goes away meanwhile ends it,
	// and without After its call is then not carried out.
	Delay time.Duration `json:"delay,omitempty"`

	// Errcode, if not 0, replaces the answer by this errcode and Errmsg; an empty
	// Errmsg means WeChat's text for it with a rid.
	Errcode int    `json:"errcode,omitempty"`
	Errmsg  string `json:"errmsg,omitempty"`

	// Status, if not 0, or Body, if not "", replaces the answer. Status 200 alone
	// is an empty answer. With Errcode, Status is its HTTP status, and Body is not
	// used.
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`

	ContentType string `json:"content_type,omitempty"` // instead of the answer's own; "" changes nothing

	// Cut comes last, whichever answer there is. After CutAnswer on a connection
	// that was used before, net/http's own transport sends a GET a second time
	// without a word, so that two calls arrive.
	Cut Cut `json:"cut,omitempty"`
}

// replaces reports whether the fault brings its own answer.
func (f *Fault) replaces() bool { return f.Errcode != 0 || f.Status != 0 || f.Body != "" }

// prevents reports whether WeChat never gets to carry out the call.
func (f *Fault) prevents() bool { return !f.After && (f.replaces() || f.Cut == CutAnswer) }

func (f *Fault) matches(c *call) bool {
	if f.AppID != "" && f.AppID != c.account.appid {
		return false
	}
	switch f.Path {
	case Everything:
		return true
	case Fetches:
		return c.endpoint.pool != ""
	case APICalls:
		return c.endpoint.pool == ""
	}
	if prefix, ok := strings.CutSuffix(f.Path, "*"); ok {
		return strings.HasPrefix(c.req.URL.Path, prefix)
	}
	return f.Path == c.req.URL.Path
}

// check says whether the fault can be.
func (f *Fault) check() error {
	switch {
	case f.Times < 0:
		return fmt.Errorf("its Times is %d: it must not be negative", f.Times)
	case f.Delay < 0:
		return fmt.Errorf("its Delay is %s: it must not be negative", f.Delay)
	case f.Rate < 0 || f.Rate > 1 || f.Rate != f.Rate:
		return fmt.Errorf("its Rate is %v: it has to lie between 0 and 1", f.Rate)
	case f.Status != 0 && (f.Status < 200 || f.Status > 999):
		return fmt.Errorf("its Status is %d: it has to be 0, or 200 to 999", f.Status)
	case f.Cut < CutNothing || f.Cut > CutShort:
		return fmt.Errorf("its Cut is %d, which does not exist", int(f.Cut))
	case f.Path != Everything && f.Path != Fetches && f.Path != APICalls && !strings.HasPrefix(f.Path, "/"):
		return fmt.Errorf("its Path is %q: it has to be empty, %s, %s or begin with a slash", f.Path, Fetches, APICalls)
	}
	return nil
}

// Rule is a Fault at work: it counts its hits, and can be removed.
type Rule struct {
	id     int
	fault  Fault
	owner  *faults
	random *rand.Rand // guarded by owner.mu, as is hits
	hits   int
}

// ID tells the rules of a Simulator apart.
func (r *Rule) ID() int { return r.id }

// Fault returns what happens.
func (r *Rule) Fault() Fault { return r.fault }

// Hits returns how many calls the fault has happened to.
func (r *Rule) Hits() int {
	r.owner.mu.Lock()
	defer r.owner.mu.Unlock()
	return r.hits
}

// Remove ends the fault. Calls that it delays already are not hurried.
func (r *Rule) Remove() {
	r.owner.mu.Lock()
	defer r.owner.mu.Unlock()
	r.owner.rules = slices.DeleteFunc(r.owner.rules, func(other *Rule) bool { return other == r })
}

// Inject lets a fault happen to the calls that match it. Exactly one fault
// happens to a call: of those with Times the one injected first, so that several
// make a script; else of the lasting ones the one injected last. One that its Rate
// spares the call does not count. Inject panics when the fault cannot be, as with
// a negative Delay.
func (s *Simulator) Inject(f Fault) *Rule {
	if err := f.check(); err != nil {
		panic("simulator: Inject: " + err.Error())
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.last++
	r := &Rule{id: s.faults.last, fault: f, owner: &s.faults}
	r.random = rand.New(source(s.faults.seed, "fault", strconv.Itoa(r.id)))
	s.faults.rules = append(s.faults.rules, r)
	return r
}

// Delay lets every call of a path wait for d before it is carried out: Inject
// with Path and Delay.
func (s *Simulator) Delay(path string, d time.Duration) *Rule {
	return s.Inject(Fault{Path: path, Delay: d})
}

// Faults returns the faults at work, in the order in which they were injected.
func (s *Simulator) Faults() []*Rule {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return slices.Clone(s.faults.rules)
}

// ClearFaults removes all faults.
func (s *Simulator) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.rules = nil
}

// faults are the rules in the order of their injection.
type faults struct {
	seed uint64

	mu    sync.Mutex
	rules []*Rule
	last  int // the id given out last
}

// next returns what happens to a call, and uses it up.
func (fs *faults) next(c *call) (f Fault, found bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	chosen := -1
	for i, r := range fs.rules {
		if !r.fault.matches(c) || (r.fault.Rate > 0 && r.random.Float64() >= r.fault.Rate) {
			continue
		}
		chosen = i
		if r.fault.Times > 0 {
			break
		}
	}
	if chosen < 0 {
		return Fault{}, false
	}
	r := fs.rules[chosen]
	r.hits++
	if r.hits == r.fault.Times {
		fs.rules = slices.Delete(fs.rules, chosen, chosen+1)
	}
	return r.fault, true
}
