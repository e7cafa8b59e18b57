package simulator

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/internal/named"
)

// New returns a Simulator, or an error that names the option that cannot be. Tests use package
// simtest, which also listens.
func New(options Options) (*Simulator, error) {
	o := options.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Simulator{
		Clock:    o.Clock,
		accounts: make(map[string]*account, len(o.Accounts)),
		history:  history{records: ring[record]{size: o.Events}},
		rids:     ring[ridRecord]{size: maxRIDs},
		routes:   routes(),
		corps:    map[string]*corp{}, corpPaths: corpRoutes(), onlyCorps: true,
		network: newNetwork(),
		faults:  faults{seed: o.Seed},
	}
	s.options = o
	s.SetSkew(o.Skew)
	s.since = s.wall()
	s.nobody = newAccount(&s.world, Account{}, nil)
	for _, conf := range o.Accounts {
		conf = conf.complete()
		list, err := conf.check()
		if err != nil {
			return nil, named.Errorf("simulator", "Options.Accounts: %w", err)
		}
		if s.accounts[conf.AppID] != nil {
			return nil, named.Errorf("simulator", "Options.Accounts: %w", fmt.Errorf("%s appears twice", conf.AppID))
		}
		a := newAccount(&s.world, conf, list)
		s.accounts[conf.AppID] = a
		s.order = append(s.order, a)
		s.addCorp(a)
		s.onlyCorps = s.onlyCorps && a.corp != nil
	}
	return s, nil
}

// ServeHTTP plays api.weixin.qq.com. Where a fault cuts the connection it panics
// with [http.ErrAbortHandler], which net/http and Simulator.RoundTripper know.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	var visit gate.Visit
	r, fits := visit.Enter(w, r, mostOf(r.URL.Path))
	defer visit.Leave()
	if !fits {
		http.Error(w, "413 Request Entity Too Large", http.StatusRequestEntityTooLarge)
		return
	}
	if s.lookUp(r.URL.Query().Get("access_token")) != nil {
		visit.Prove()
	}
	c := s.receive(r)
	e := Event{
		Time: s.Clock.Now(), AppID: c.account.appid, Caller: c.caller,
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		Request: excerpt(string(c.body)),
		Lost:    true,
	}
	defer func() {
		e.Latency = time.Since(started)
		s.keepRID(c, e)
		s.note(e)
	}()

	f, faulty := s.faults.next(c)
	e.Fault = faulty
	a := c.run(f)
	c.count(a)
	e.Errcode, e.Response = a.errcode, excerpt(a.body)
	if f.Cut != CutAnswer {
		e.Status = a.status
	}
	e.Lost = f.Cut != CutNothing
	w.Header().Set("Date", s.wall().UTC().Format(http.TimeFormat)) // instead of net/http's, which knows no Skew
	a.send(w, f.Cut)
}

// mostOf returns how long a body may be.
func mostOf(path string) int64 {
	if path == uploadPath {
		return maxUpload
	}
	return maxBody
}

// receive reads a request and counts its arrival.
func (s *Simulator) receive(r *http.Request) *call {
	c := &call{
		sim: s, req: r, endpoint: s.route(r.URL.Path), query: r.URL.Query(),
		caller: callerOf(r), account: s.nobody,
	}
	if s.ofCorp(r) {
		c.wecom, c.endpoint = true, s.corpRoute(r.URL.Path)
	}
	if r.Body != nil {
		// The whole body is read first: only then does net/http notice a caller
		// who goes away during a delay.
		most := mostOf(r.URL.Path)
		body, err := io.ReadAll(io.LimitReader(r.Body, most+1))
		if err != nil || int64(len(body)) > most {
			panic(http.ErrAbortHandler) // half a request gets no answer
		}
		c.body = body
	}
	if c.endpoint.read != nil {
		c.endpoint.read(c)
	}
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if c.endpoint.pool == "" {
		c.account.apiCalls++
	} else {
		c.account.pool(c.endpoint.pool).stats.Calls++
	}
	return c
}

// run lets the fault happen and carries the call out as far as that allows.
func (c *call) run(f Fault) answer {
	if !f.After {
		c.wait(f.Delay)
	}
	var a answer
	if !f.prevents() {
		a = c.serve()
	}
	if f.After {
		c.wait(f.Delay)
	}
	switch {
	case f.Errcode != 0 && f.Errmsg != "":
		a = c.refuseWith(f.Errcode, f.Errmsg)
	case f.Errcode != 0:
		a = c.refuse(f.Errcode)
	case f.replaces():
		a = ok(f.Body)
	}
	if f.Status != 0 {
		a.status = f.Status
	}
	if f.ContentType != "" {
		a.contentType = f.ContentType
	}
	return a
}

// wait sleeps in real time. A caller who goes away meanwhile ends the call.
func (c *call) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	if !sleep(c.req.Context(), d) {
		panic(http.ErrAbortHandler)
	}
}

// serve carries the call out.
func (c *call) serve() answer {
	c.now = c.sim.Clock.Now()
	if c.req.ContentLength < 0 && !c.sim.options.AcceptChunked {
		return answer{status: http.StatusPreconditionFailed}
	}
	keys, errcode := c.openSigned()
	switch {
	case errcode != 0:
		return c.refuse(errcode)
	case keys == nil:
		return c.endpoint.serve(c)
	default:
		return c.sealSigned(keys, c.endpoint.serve(c))
	}
}

// count notes the errcode that is answered.
func (c *call) count(a answer) {
	if a.errcode == 0 {
		return
	}
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	c.account.errcodes[a.errcode]++
}

// RoundTripper returns a transport that calls the simulator in this process,
// without sockets and goroutines, whatever the host of the URL. It works in
// testing/synctest bubbles, where a server on loopback would hang. Callers come
// from 127.0.0.1. A request's context ends delays; a connection that a fault
// cuts is [io.EOF] before the answer and [io.ErrUnexpectedEOF] in the body, and
// nothing is ever sent again, as net/http may do with a GET on a used connection.
func (s *Simulator) RoundTripper() http.RoundTripper { return s.RoundTripperFrom("127.0.0.1") }

// RoundTripperFrom is RoundTripper for a caller with that IP, for whitelists.
func (s *Simulator) RoundTripperFrom(ip string) http.RoundTripper {
	return transport{handler: s, caller: ip}
}
