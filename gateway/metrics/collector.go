package metrics

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
)

// DefaultMaxSeries is the default of Config.MaxSeries.
const DefaultMaxSeries = 1000

const queueTimeout = 2 * time.Second // for the store to say what waits

// Config sets a [Collector] up.
type Config struct {
	// MaxSeries bounds the labels: up to so many accounts, each has metrics of its
	// own, some twenty; with more, all are summed up without the label appid, and the
	// gauges of single accounts are left out. Clients and subscribers alike. 0 means 1,000; a negative
	// value means that nothing is reported one by one.
	MaxSeries int
}

// Collector is a [prometheus.Collector] of a gateway's numbers. It reads them when
// it is asked and keeps nothing, so what an account had ends with the account.
type Collector struct {
	gateway *gateway.Gateway
	most    int
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns a Collector of g.
func NewCollector(g *gateway.Gateway, cfg Config) *Collector {
	most := cfg.MaxSeries
	if most == 0 {
		most = DefaultMaxSeries
	}
	return &Collector{g, most}
}

// Handler returns what a Prometheus server reads: the metrics of g, and those of
// the process and of Go. It asks for no key; see [gateway.Gateway.Guard].
func Handler(g *gateway.Gateway, cfg Config) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		NewCollector(g, cfg), collectors.NewBuildInfoCollector(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range definitions {
		out <- d.desc
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	n := c.gateway.Numbers()
	s := sink{out}
	c.tokens(s, n)
	if c.single(len(n.Accounts)) {
		for _, a := range n.Accounts {
			s.gauge(accountInfo, 1, a.AppID, a.Name)
			s.account(a)
		}
		s.calls("", n.Nobody)
	} else {
		s.account(n.All) // nobody's calls are in it
	}
	if c.single(len(n.Clients)) {
		for _, client := range n.Clients {
			s.gauge(clientInfo, 1, client.Name, client.Title)
			s.client(client)
		}
	} else {
		all := gateway.ClientNumbers{Calls: n.ByClients}
		for _, client := range n.Clients {
			if client.Last.After(all.Last) {
				all.Last = client.Last
			}
		}
		s.client(all)
	}
	c.queues(s)
	s.counter(wrongKeys, n.WrongKeys)
	s.histogram(fetchTime, n.Fetched)
	s.histogram(probeTime, n.Probed)
	s.histogram(proxyTime, n.Proxied)
	for _, call := range n.Store {
		s.histogram(storeTime, call.Latency, string(call.Call))
		for outcome, count := range call.Outcomes {
			s.counter(storeCalls, count, string(call.Call), string(outcome))
		}
	}
}

// single reports whether so many are reported one by one.
func (c *Collector) single(n int) bool { return n <= c.most }

// tokens tells how the tokens are.
func (c *Collector) tokens(s sink, n gateway.Numbers) {
	now, without, least := time.Now(), 0, time.Duration(-1)
	for _, a := range n.Accounts {
		live := 1.0
		if !a.Status.Live {
			live = 0
			without++
		}
		if least < 0 || a.Status.Left < least {
			least = a.Status.Left
		}
		if !c.single(len(n.Accounts)) {
			continue
		}
		s.gauge(tokenLive, live, a.AppID)
		s.gauge(tokenLeft, a.Status.Left.Seconds(), a.AppID)
		if a.Status.Live {
			// A fence is the store's time at the renewal; see custody.Store.
			s.gauge(tokenAge, max(0, now.Sub(time.UnixMicro(a.Status.Fence))).Seconds(), a.AppID)
		}
	}
	s.gauge(accountsCount, float64(len(n.Accounts)))
	s.gauge(accountsWithout, float64(without))
	if least >= 0 {
		s.gauge(leastLeft, least.Seconds())
	}
}

// queues tells what waits for subscribers. While the store does not say, it tells
// what this gateway knows.
func (c *Collector) queues(s sink) {
	ctx, cancel := context.WithTimeout(context.Background(), queueTimeout)
	defer cancel()
	list, err := c.gateway.Queues(ctx)
	if len(list) > 0 && !c.single(len(list)) {
		if err == nil {
			var all fanout.Status
			for _, q := range list {
				all.Waiting += q.Waiting
				all.Oldest = max(all.Oldest, q.Oldest)
			}
			s.queue(all)
		}
		return
	}
	for _, q := range list {
		if err == nil {
			s.queue(q)
		}
		if !q.Configured {
			continue
		}
		s.gauge(subscriberInfo, 1, q.AppID, q.Subscriber, q.Title)
		down := 0.0
		if q.Down {
			down = 1
		}
		s.gauge(subscriberDown, down, q.AppID, q.Subscriber)
		s.counter(deliveries, q.Delivered, q.AppID, q.Subscriber, "delivered")
		s.counter(deliveries, q.Failed, q.AppID, q.Subscriber, "failed")
		s.counter(deliveries, q.Late, q.AppID, q.Subscriber, "late")
		s.counter(deliveries, q.Dropped, q.AppID, q.Subscriber, "dropped")
	}
}

func (s sink) queue(q fanout.Status) {
	s.gauge(queueLength, float64(q.Waiting), q.AppID, q.Subscriber)
	s.gauge(queueOldest, q.Oldest.Seconds(), q.AppID, q.Subscriber)
}

// sink takes metrics.
type sink struct{ out chan<- prometheus.Metric }

func (s sink) gauge(d *definition, value float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(d.desc, prometheus.GaugeValue, value, labels...)
}

func (s sink) counter(d *definition, value uint64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(d.desc, prometheus.CounterValue, float64(value), labels...)
}

func (s sink) histogram(d *definition, l gateway.Latency, labels ...string) {
	s.out <- prometheus.MustNewConstHistogram(d.desc, l.Count, l.Sum.Seconds(), l.UpTo, labels...)
}

// account tells what was counted of an account, or of all where it has no appid.
func (s sink) account(a gateway.AccountNumbers) {
	s.calls(a.AppID, a.Calls)
	for _, k := range a.Kinds {
		for _, r := range k.Renewals {
			s.counter(renewals, r.Count, a.AppID, k.Kind, string(r.Reason), string(r.Result))
		}
		for _, f := range k.Failures {
			s.counter(failures, f.Count, a.AppID, k.Kind, string(f.Class), errcodeLabel(f.Errcode))
		}
		for result, count := range k.Refusals {
			s.counter(refusals, count, a.AppID, k.Kind, string(result))
		}
		for verdict, count := range k.Probes {
			s.counter(probes, count, a.AppID, k.Kind, verdict.String())
		}
		s.counter(adoptions, k.Adopted, a.AppID, k.Kind)
		s.counter(fetches, k.Fetches-k.Forced, a.AppID, k.Kind, "normal")
		s.counter(fetches, k.Forced, a.AppID, k.Kind, "forced")
		if k.Limit > 0 && a.AppID != "" {
			s.gauge(fetchesLeft, float64(k.Left), a.AppID, k.Kind)
			s.gauge(fetchesLimit, float64(k.Limit), a.AppID, k.Kind)
		}
	}
}

func (s sink) calls(appID string, counts []gateway.CallCount) {
	for _, c := range counts {
		s.counter(calls, c.Count, appID, string(c.Answerer), errcodeLabel(c.Errcode))
	}
}

func (s sink) client(c gateway.ClientNumbers) {
	s.counter(clientCalls, c.Calls, c.Name)
	if !c.Last.IsZero() {
		s.gauge(clientLast, float64(c.Last.UnixMilli())/1000, c.Name)
	}
}

func errcodeLabel(code int) string {
	if code == gateway.OtherErrcode {
		return "other"
	}
	return strconv.Itoa(code)
}
