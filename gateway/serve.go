package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/gate"
)

const (
	tokenPath  = "/cgi-bin/token" //nolint:gosec // a path
	stablePath = "/cgi-bin/stable_token"
	ticketPath = "/cgi-bin/ticket/getticket"
	healthPath = "/healthz"
	readyPath  = "/readyz"

	writePatience = time.Minute // for a reader to take the next piece of an answer
)

// ServeHTTP implements [http.Handler].
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o := &observed{ResponseWriter: w, start: time.Now()}
	path := r.URL.EscapedPath()
	if !cleanPath(path) {
		path = ""
	}
	r, fits := o.visit.Enter(w, r, g.mostOf(path))
	defer func() {
		o.visit.Leave()
		// ReverseProxy panics with http.ErrAbortHandler when an answer breaks off, whether
		// WeChat or the caller ended it.
		cause := recover()
		if err, _ := cause.(error); errors.Is(err, http.ErrAbortHandler) && o.proxied && !o.gone && r.Context().Err() == nil {
			o.cut = true
			g.brokeOff(r, path, o)
		}
		g.access(r, path, o)
		g.count(path, o)
		if cause != nil {
			panic(cause)
		}
	}()
	refused := errTooLong
	if fits {
		refused = g.serve(o, r, path)
	}
	if refused != nil {
		g.refused(o, r, path, refused)
	}
}

// errTooLong answers a body that is longer, by its own account, than anything on its path.
var errTooLong = &refusal{code: codeTooBig, status: http.StatusRequestEntityTooLarge, why: "the body is longer than the limit"}

// mostOf returns how long a body may be on a path.
func (g *Gateway) mostOf(path string) int64 {
	switch {
	case path == "", path == healthPath, path == readyPath, path == tokenPath, path == stablePath, strings.HasPrefix(path, apiPrefix):
		return maxFetchBody
	case userPaths[path], secretPaths[path]:
		return maxSecret
	case strings.HasPrefix(path, callbackPath):
		return callback.MaxBody
	default:
		return g.cfg.Limits.Body
	}
}

func (g *Gateway) serve(w *observed, r *http.Request, path string) *refusal {
	if strings.HasPrefix(path, apiPrefix) {
		g.programs.ServeHTTP(w, r)
		return nil
	}
	switch path {
	case "":
		return refuse(codeURL, "the path is none that WeChat has")
	case healthPath:
		writeBytes(w, http.StatusOK, []byte(`{"healthy":true}`))
		return nil
	case readyPath:
		g.ready(w, r)
		return nil
	case tokenPath:
		return g.serveToken(w, r)
	case stablePath:
		return g.serveStable(w, r)
	}
	if appID, ok := strings.CutPrefix(path, callbackPath); ok {
		g.serveCallback(w, r, appID)
		return nil
	}
	return g.serveCall(w, r, path)
}

// refused answers a call in WeChat's place and says why in the log.
func (g *Gateway) refused(w *observed, r *http.Request, path string, refused *refusal) {
	attempt := refused.class == "" && (refused.code == codeSecret || refused.code == codeToken)
	if attempt && w.use == nil {
		g.meter.wrongKeys.Add(1)
	}
	told := !attempt || g.failures.add(r.RemoteAddr, time.Now())
	w.errcode = refused.code
	write := refused.write
	if strings.HasPrefix(path, apiPrefix) {
		write = refused.writeAPI
	}
	rid := write(w)
	if told {
		g.cfg.Logger.LogAttrs(r.Context(), slog.LevelWarn, "refused a call",
			slog.String("path", loggable(path)), slog.Int("errcode", refused.code), slog.String("why", refused.why),
			slog.String("client", w.client), slog.String("appid", w.appID), slog.String("remote", r.RemoteAddr), slog.String("rid", rid))
	}
}

func (g *Gateway) access(r *http.Request, path string, o *observed) {
	ctx := r.Context()
	if !g.cfg.Access.Enabled(ctx, slog.LevelInfo) {
		return
	}
	now := time.Now()
	code := o.errcode
	if code == 0 {
		code = o.wechat
	}
	line := slog.NewRecord(
		now,
		slog.LevelInfo,
		"request",
		0,
	) // without a place in the source, which costs more than all else and is always this one
	line.AddAttrs(
		slog.String("method", loggable(r.Method)), slog.String("path", loggable(path)), slog.Int("status", o.status),
		slog.Int("errcode", code), slog.Int64("bytes", o.bytes), slog.Duration("took", now.Sub(o.start)),
		slog.String("client", o.client), slog.String("appid", o.appID), slog.String("remote", r.RemoteAddr))
	if o.cut {
		line.AddAttrs(slog.Bool("cut", true))
	}
	_ = g.cfg.Access.Handler().Handle(ctx, line)
}

// secretRun is how many letters, digits, '_' and '-' in a row look like a secret.
const secretRun = 32

// looksSecret reports whether text holds what a key, a token or an AppSecret looks
// like, for those who put one where a path goes.
func looksSecret(text string) bool {
	run := 0
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
			if run++; run >= secretRun {
				return true
			}
		default:
			run = 0
		}
	}
	return strings.Contains(text, tokenPrefix) || strings.Contains(text, keyPrefix)
}

// loggable returns what of a path or method may stand in a log.
func loggable(text string) string {
	switch {
	case text == "":
		return "[malformed]"
	case len(text) > maxPath || len(text) >= 16 && looksSecret(text):
		return "[hidden]"
	default:
		return text
	}
}

// observed remembers what was answered, and gives readers a time to read.
type observed struct {
	http.ResponseWriter

	start   time.Time
	status  int
	errcode int // of the gateway's own answers
	bytes   int64
	client  string
	appID   string

	proxied bool     // the call went to WeChat
	sending *sending // of a call that is not to be made twice
	wechat  int      // the errcode in WeChat's answer
	cut     bool     // WeChat's answer broke off after a part of it was passed on
	gone    bool     // the caller did not take the answer
	use     *use
	tally   *tally

	visit gate.Visit
}

// of remembers whose call it is, now that it is proven.
func (o *observed) of(c *client) {
	o.client, o.use = c.Name, c.use
	o.visit.Prove()
}

// about remembers which account a call is about.
func (o *observed) about(a *account) { o.appID, o.tally = a.AppID, a.tally }

// WriteHeader implements [http.ResponseWriter].
func (o *observed) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		return // such as 103, whose header nobody has looked through
	}
	if o.status == 0 {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (o *observed) Write(p []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	if o.bytes == 0 && o.proxied {
		o.wechat = wechatErrcode(p)
	}
	if o.bytes > 0 {
		// The first piece fits into buffers; after it, a caller that does not read is
		// not waited for.
		_ = http.NewResponseController(o.ResponseWriter).SetWriteDeadline(time.Now().Add(writePatience))
	}
	n, err := o.ResponseWriter.Write(p)
	o.bytes += int64(n)
	o.gone = o.gone || err != nil
	return n, err
}

// Unwrap is for [http.ResponseController].
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// admit checks the client's rate.
func admit(c *client) *refusal {
	if c.limiter != nil && !c.limiter.Allow() {
		return refuse(codeMinute, "the client is over its rate of %v calls per second", c.Rate)
	}
	return nil
}

// byKey returns the client to which a key belongs.
func (g *Gateway) byKey(ctx context.Context, w *observed, key string, now time.Time) (*client, keyHash, *refusal) {
	c, hash, ok := g.registry.byKey(ctx, key, now)
	if !ok && !g.registry.loaded.Load() {
		return nil, hash, unknownYet()
	}
	if !ok {
		return nil, hash, refuse(codeSecret, "no living client has this key")
	}
	w.of(c)
	return c, hash, nil
}

// unknownYet refuses while the clients were never read: a wrong key and a right one
// look the same, and programs take 40125 for final.
func unknownYet() *refusal {
	return refuse(codeBusy, "the clients are not known yet: the store has not answered since the start")
}

// ofClient returns the account if it is the gateway's and the client may use it. Before
// it refuses, the store is read: accounts of the admin API are in it.
func (g *Gateway) ofClient(ctx context.Context, w *observed, c *client, appID string) (*account, *refusal) {
	if appID == "" {
		return nil, refuse(codeNoAppID, "no appid was given")
	}
	a := g.account(appID)
	if a == nil || !c.uses(appID) {
		g.registry.refresh(ctx)
		if now := g.registry.find(c.id); now != nil {
			c = now
		}
		a = g.account(appID)
	}
	switch {
	case !c.uses(appID):
		return nil, refuse(codeAppID, "the account is not one of the client's")
	case a == nil:
		return nil, refuse(codeAppID, "the gateway has no such account")
	}
	w.about(a)
	return a, nil
}

// bearer returns the key in the Authorization header.
func bearer(h http.Header) (key string, found bool) {
	scheme, key, found := strings.Cut(h.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return key, true
}

// noToken says why there is no real token, with the errcode that WeChat gave.
func noToken(err error) *refusal {
	r := refuse(codeBusy, "%v", err)
	var failure *custody.Error
	switch {
	case errors.As(err, &failure):
		if failure.Code > 0 {
			r.code = failure.Code
		}
		r.class, r.retry = failure.Class, failure.RetryAfter
	case errors.Is(err, errNoAccount):
		r.code = codeAppID
	case errors.Is(err, context.Canceled):
		r.why = "the caller has gone"
	}
	return r
}

// ready answers 200 when every account has a live token, else 503. To a client it names
// those of its accounts that have none, and says why; to others, how many there are.
func (g *Gateway) ready(w *observed, r *http.Request) {
	var c *client
	if key, has := bearer(r.Header); has {
		c, _, _ = g.registry.byKey(r.Context(), key, time.Now())
	}
	const most = 20
	type lack struct {
		AppID string `json:"appid"`
		Why   string `json:"why"`
	}
	answer := struct {
		Ready    bool   `json:"ready"`
		Clients  bool   `json:"clients_known"`
		Draining bool   `json:"draining,omitempty"`
		Accounts int    `json:"accounts"`
		Without  int    `json:"without_token"`
		Lacking  []lack `json:"lacking,omitempty"`
	}{}
	for _, s := range g.Status() {
		answer.Accounts++
		if s.Live {
			continue
		}
		answer.Without++
		why := "not loaded yet"
		if s.Failure != nil {
			why = strings.TrimPrefix(s.Failure.Error(), "zhongkong: ")
		}
		if c != nil && c.uses(s.Key.AppID) && len(answer.Lacking) < most {
			answer.Lacking = append(answer.Lacking, lack{s.Key.AppID, why})
		}
	}
	answer.Draining = g.draining.Load()
	answer.Clients = g.registry.loaded.Load()
	answer.Ready = answer.Without == 0 && answer.Clients && !answer.Draining
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
}
