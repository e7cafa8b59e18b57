package gateway

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// OtherErrcode stands for every errcode that package platform/errcode does not know,
// and for answers of WeChat that are no success of HTTP.
const OtherErrcode = -1 << 31

const kindToken = "access_token" // a Key.Kind

// meter is all that a gateway counts. It costs a call a few atomic additions;
// Numbers reads them.
type meter struct {
	start    time.Time
	all      *tally // of everything, also of accounts that are gone by now
	nobody   *tally // of calls about no account of the gateway
	accounts sync.Map
	proxy    latency
	fetch    latency
	probe    latency
	store    [len(storeCalls)]struct {
		latency  latency
		outcomes [len(storeOutcomes)]atomic.Uint64
	}
	wrongKeys atomic.Uint64
	byClients atomic.Uint64 // calls, also of clients that are gone by now
}

func newMeter() *meter {
	return &meter{start: time.Now(), all: newTally(), nobody: newTally()}
}

// of returns the tally of an account, nil when there is none.
func (c *meter) of(appID string) *tally {
	t, _ := c.accounts.Load(appID)
	found, _ := t.(*tally)
	return found
}

// add returns the tally of an account, a new one if need be: an account that is
// changed keeps its own.
func (c *meter) add(appID string) *tally {
	t, _ := c.accounts.LoadOrStore(appID, newTally())
	return t.(*tally)
}

// keep forgets the accounts that there are not.
func (c *meter) keep(has func(appID string) bool) {
	c.accounts.Range(func(appID, _ any) bool {
		if !has(appID.(string)) {
			c.accounts.Delete(appID)
		}
		return true
	})
}

// tally counts what concerns one account, for as long as the gateway has it.
type tally struct {
	answered [len(answerers)]atomic.Uint64 // calls without an errcode
	traffic  traffic

	mu      sync.Mutex // guards what follows
	errors  map[failedCall]uint64
	kinds   map[string]*kindTally // by Key.Kind
	history history
}

func newTally() *tally {
	return &tally{errors: map[failedCall]uint64{}, kinds: map[string]*kindTally{}}
}

// Answerer says who answered a call.
type Answerer string

// Who answers calls.
const (
	ByWeChat  Answerer = "wechat"  // its answer was passed on, an error of WeChat included
	ByGateway Answerer = "gateway" // tokens, tickets and refusals
)

var answerers = [...]Answerer{ByWeChat, ByGateway}

type failedCall struct {
	by   int // in answerers
	code int
}

// kindTally counts what becomes of one credential.
type kindTally struct {
	renewals map[renewalSort]uint64
	failures map[failureSort]uint64
	refusals map[custody.RefusalResult]uint64
	probes   map[custody.Verdict]uint64
	adopted  uint64
	fetches  map[custody.Mode]uint64

	day          int64 // of today, in Beijing days since 1970
	today, limit int   // fetches, and how many there may be
}

type renewalSort struct {
	reason custody.Reason
	result custody.RenewalResult
}

type failureSort struct {
	class custody.Class
	code  int
}

// kind returns the counts of a credential. The caller holds mu.
func (t *tally) kind(name string) *kindTally {
	k := t.kinds[name]
	if k == nil {
		k = &kindTally{
			renewals: map[renewalSort]uint64{}, failures: map[failureSort]uint64{},
			refusals: map[custody.RefusalResult]uint64{}, probes: map[custody.Verdict]uint64{},
			fetches: map[custody.Mode]uint64{},
		}
		t.kinds[name] = k
	}
	return k
}

// call counts a call that was answered.
func (t *tally) call(by, code int, now time.Time) {
	t.traffic.add(code != 0, now)
	if code == 0 {
		t.answered[by].Add(1)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errors[failedCall{by, code}]++
}

// errcodeHost returns whose errcodes are about an account: those of WeCom mean other things.
func errcodeHost(appID string) errcode.Host {
	if _, _, isApp := shape.App(appID); isApp {
		return errcode.WeCom
	}
	return errcode.API
}

// known returns code, or OtherErrcode where the table of none of hosts has it.
func known(code int, hosts ...errcode.Host) int {
	for _, host := range hosts {
		if _, found := errcode.LookupOn(host, code); found || code == 0 {
			return code
		}
	}
	return OtherErrcode
}

// hostsOf are those whose errcodes are about a credential. A ticket of a corp belongs to no
// account.
func (c *meter) hostsOf(key custody.Key) []errcode.Host {
	if c.of(key.AppID) == nil {
		return []errcode.Host{errcode.API, errcode.WeCom}
	}
	return []errcode.Host{errcodeHost(key.AppID)}
}

// errcodeFront is how WeChat's errors begin.
var errcodeFront = []byte(`{"errcode":`)

// leadingErrcode returns the errcode with which an answer of WeChat begins, and
// whether it begins with one.
func leadingErrcode(body []byte) (code int, found bool) {
	rest, found := bytes.CutPrefix(bytes.TrimLeft(body, " \t\r\n"), errcodeFront)
	if !found {
		return 0, false
	}
	rest = bytes.TrimLeft(rest, " ")
	rest, negative := bytes.CutPrefix(rest, []byte("-"))
	for i, c := range rest {
		if c < '0' || c > '9' {
			break
		}
		if i == 9 {
			return OtherErrcode, true
		}
		code = 10*code + int(c-'0')
	}
	if negative {
		return -code, true
	}
	return code, true
}

// trace receives the reports of all Keepers, and counts.
func (c *meter) trace() *custody.Trace {
	return &custody.Trace{
		Fetched: func(i custody.FetchedInfo) {
			c.fetch.add(i.Took)
			c.change(i.Key, func(_ *tally, k *kindTally) {
				k.fetches[i.Mode]++
				if i.Today > 0 {
					k.day, k.today, k.limit = beijingDay(time.Now()), i.Today, i.Limit
				}
			})
		},
		Probed: func(i custody.ProbedInfo) {
			c.probe.add(i.Took)
			c.change(i.Key, func(_ *tally, k *kindTally) { k.probes[i.Verdict]++ })
		},
		Renewed: func(i custody.RenewedInfo) {
			c.change(i.Key, func(t *tally, k *kindTally) {
				k.renewals[renewalSort{i.Reason, i.Result}]++
				if i.Result == custody.RenewalSaved || i.Result == custody.RenewalUnsaved {
					t.remember(i.Key, momentRenewal)
				}
			})
		},
		Adopted: func(i custody.AdoptedInfo) {
			c.change(i.Key, func(t *tally, k *kindTally) {
				k.adopted++
				if !i.First {
					t.remember(i.Key, momentRenewal)
				}
			})
		},
		Failed: func(i custody.FailedInfo) {
			if i.Elsewhere {
				return
			}
			c.change(i.Key, func(t *tally, k *kindTally) {
				k.failures[failureSort{i.Err.Class, known(i.Err.Code, c.hostsOf(i.Key)...)}]++
				if errors.Is(i.Err, custody.ErrDailyLimit) {
					k.day, k.today = beijingDay(time.Now()), k.limit
				}
				t.remember(i.Key, momentFailure)
			})
		},
		Refused: func(i custody.RefusedInfo) {
			c.change(i.Key, func(t *tally, k *kindTally) {
				k.refusals[i.Result]++
				if i.Result != custody.RefusalAccepted && i.Result != custody.RefusalAbandoned {
					t.remember(i.Key, momentRefusal)
				}
			})
		},
		Stored: c.stored,
	}
}

// stored counts a call of the store.
func (c *meter) stored(i custody.StoredInfo) {
	n := slices.Index(storeCalls[:], i.Call)
	if n < 0 {
		return
	}
	c.store[n].latency.add(i.Took)
	if o := slices.Index(storeOutcomes[:], i.Outcome()); o >= 0 {
		c.store[n].outcomes[o].Add(1)
	}
}

// change changes the counts of a credential: the account's, and those of all.
func (c *meter) change(key custody.Key, do func(*tally, *kindTally)) {
	for _, t := range [...]*tally{c.of(key.AppID), c.all} {
		if t != nil {
			t.mu.Lock()
			do(t, t.kind(key.Kind))
			t.mu.Unlock()
		}
	}
}

// remember puts a moment of the token into the history. The caller holds mu.
func (t *tally) remember(key custody.Key, m moment) {
	if key.Kind == kindToken {
		t.history.add(m, time.Now())
	}
}

var beijing = time.FixedZone("UTC+8", 8*60*60)

// beijingDay numbers the days after which WeChat counts anew.
func beijingDay(t time.Time) int64 {
	_, offset := t.In(beijing).Zone()
	return (t.Unix() + int64(offset)) / (24 * 60 * 60)
}

var (
	storeCalls = [...]custody.StoreCall{
		custody.CallLoad, custody.CallLoadMany, custody.CallAcquire, custody.CallBegin,
		custody.CallSave, custody.CallRelease, custody.CallShorten,
	}
	storeOutcomes = [...]custody.StoreOutcome{
		custody.OutcomeOK, custody.OutcomeNotFound, custody.OutcomeHeld, custody.OutcomeFenced, custody.OutcomeError,
	}
)

// latencies are the upper ends of the classes into which times are sorted; those
// above the last one are a class too.
var latencies = [...]time.Duration{
	time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// latency sorts times.
type latency struct {
	counts [len(latencies) + 1]atomic.Uint64
	sum    atomic.Int64 // ns
}

func (l *latency) add(took time.Duration) {
	i := 0
	for i < len(latencies) && took > latencies[i] {
		i++
	}
	l.counts[i].Add(1)
	l.sum.Add(int64(took))
}
