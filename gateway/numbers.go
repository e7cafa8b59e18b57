package gateway

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

// Numbers are what a gateway has counted since it started. They hold no secret.
// Package gateway/metrics shows them to Prometheus.
type Numbers struct {
	Start     time.Time
	Accounts  []AccountNumbers // in the order of the appids
	All       AccountNumbers   // of all accounts, those that are gone included; without Status
	Nobody    []CallCount      // calls about no account of the gateway
	Clients   []ClientNumbers  // in the order of the names
	Proxied   Latency          // calls that went to WeChat, from their first byte to the answer's last
	Fetched   Latency          // fetches of tokens and tickets
	Probed    Latency          // probes: see custody.Trace.Probed
	Store     []StoreNumbers
	ByClients uint64 // calls of clients, those that are gone included
	WrongKeys uint64 // attempts with a key, or a gateway token, that is none
}

// AccountNumbers are those of an account, for as long as the gateway has it.
type AccountNumbers struct {
	AppID  string
	Name   string // for people; "" when it has none
	Status custody.Status
	Calls  []CallCount
	Kinds  []KindNumbers // in the order of the kinds; those of which anything happened
}

// CallCount is how many calls got one errcode.
type CallCount struct {
	Answerer Answerer
	Errcode  int // 0 for none; OtherErrcode
	Count    uint64
}

// KindNumbers are those of one of an account's credentials.
type KindNumbers struct {
	Kind     string // see custody.Key
	Renewals []RenewalCount
	Failures []FailureCount // of this gateway's attempts
	Refusals map[custody.RefusalResult]uint64
	Probes   map[custody.Verdict]uint64
	Adopted  uint64 // values that another gateway fetched, or this one before it started
	Fetches  uint64
	Forced   uint64 // of Fetches

	// Left is how many fetches the Beijing day still allows, over all gateways, as
	// this gateway last saw it, and Limit how many it allows. Limit is 0 where there
	// is no limit, or this gateway has not fetched yet.
	Left, Limit int
}

// RenewalCount is how many renewals came to one result.
type RenewalCount struct {
	Reason custody.Reason
	Result custody.RenewalResult
	Count  uint64
}

// FailureCount is how many attempts failed in one way.
type FailureCount struct {
	Class   custody.Class
	Errcode int // 0 for none; OtherErrcode
	Count   uint64
}

// ClientNumbers are those of a client, for as long as this gateway knows it.
type ClientNumbers struct {
	Name  string
	Title string    // for people; "" when it has none
	Calls uint64    // refused ones included
	Last  time.Time // the end of the last one; zero when there was none
}

// StoreNumbers are those of one call of the store.
type StoreNumbers struct {
	Call     custody.StoreCall
	Latency  Latency
	Outcomes map[custody.StoreOutcome]uint64
}

// Latency tells how long something took.
type Latency struct {
	Count uint64
	Sum   time.Duration
	UpTo  map[float64]uint64 // how many took at most so many seconds
}

// Numbers returns what was counted so far. It waits for nothing but its own
// counting.
func (g *Gateway) Numbers() Numbers {
	c := g.desk.meter
	n := Numbers{
		Start: c.start, All: c.all.numbers(), Nobody: c.nobody.numbers().Calls,
		Clients: g.ClientNumbers(), Proxied: c.proxy.read(), Fetched: c.fetch.read(), Probed: c.probe.read(),
		WrongKeys: c.wrongKeys.Load(), ByClients: c.byClients.Load(),
	}
	for _, s := range g.Status() {
		a := AccountNumbers{}
		if t := c.of(s.Key.AppID); t != nil {
			a = t.numbers()
		}
		a.AppID, a.Name, a.Status = s.Key.AppID, g.desk.accounts.names.of(s.Key.AppID), s
		n.Accounts = append(n.Accounts, a)
	}
	for i, call := range storeCalls {
		s := StoreNumbers{Call: call, Latency: c.store[i].latency.read(), Outcomes: map[custody.StoreOutcome]uint64{}}
		for o, outcome := range storeOutcomes {
			s.Outcomes[outcome] = c.store[i].outcomes[o].Load()
		}
		n.Store = append(n.Store, s)
	}
	return n
}

// ClientNumbers returns what each client did at this gateway since it started, in the
// order of their names.
func (g *Gateway) ClientNumbers() []ClientNumbers {
	all := g.desk.clients.All()
	list := make([]ClientNumbers, len(all))
	for i, c := range all {
		list[i].Name, list[i].Title = c.Name, c.Title
		list[i].Calls, list[i].Last = c.Counted()
	}
	slices.SortFunc(list, func(a, b ClientNumbers) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// History returns the last 24 hours of an account, the oldest quarter of an hour
// first and the present one last, as this gateway saw them since it started; of all
// accounts together where appID is "". It returns nil for an appid that the gateway
// does not have.
func (g *Gateway) History(appID string) []Bucket {
	t := g.desk.meter.all
	if appID != "" {
		t = g.desk.meter.of(appID)
	}
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	list := t.history.at(now)
	t.traffic.addTo(list, now)
	return list
}

// Started returns when the gateway began to count: what History has before is unknown.
func (g *Gateway) Started() time.Time { return g.desk.meter.start }

func (t *tally) numbers() AccountNumbers {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := AccountNumbers{}
	for by, who := range answerers {
		n.Calls = append(n.Calls, CallCount{Answerer: who, Count: t.answered[by].Load()})
	}
	for call, count := range t.errors {
		n.Calls = append(n.Calls, CallCount{answerers[call.by], call.code, count})
	}
	slices.SortFunc(n.Calls, func(a, b CallCount) int {
		return cmp.Or(cmp.Compare(a.Answerer, b.Answerer), cmp.Compare(a.Errcode, b.Errcode))
	})
	for _, name := range slices.Sorted(maps.Keys(t.kinds)) {
		n.Kinds = append(n.Kinds, t.kinds[name].numbers(name, time.Now()))
	}
	return n
}

func (k *kindTally) numbers(name string, now time.Time) KindNumbers {
	n := KindNumbers{Kind: name, Refusals: maps.Clone(k.refusals), Probes: maps.Clone(k.probes), Adopted: k.adopted, Limit: k.limit}
	for mode, count := range k.fetches {
		n.Fetches += count
		if mode == custody.Forced {
			n.Forced += count
		}
	}
	if n.Left = k.limit; k.day == beijingDay(now) {
		n.Left = max(0, k.limit-k.today)
	}
	for sort, count := range k.renewals {
		n.Renewals = append(n.Renewals, RenewalCount{sort.reason, sort.result, count})
	}
	for sort, count := range k.failures {
		n.Failures = append(n.Failures, FailureCount{sort.class, sort.code, count})
	}
	slices.SortFunc(n.Renewals, func(a, b RenewalCount) int {
		return cmp.Or(cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Result, b.Result))
	})
	slices.SortFunc(n.Failures, func(a, b FailureCount) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Errcode, b.Errcode))
	})
	return n
}

func (l *latency) read() Latency {
	read := Latency{Sum: time.Duration(l.sum.Load()), UpTo: map[float64]uint64{}}
	for i := range l.counts {
		read.Count += l.counts[i].Load()
		if i < len(latencies) {
			read.UpTo[latencies[i].Seconds()] = read.Count
		}
	}
	return read
}
