package callback

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Sender sends a reply that came too late for the HTTP response, as WeChat's
// customer-service API (/cgi-bin/message/custom/send) does. It translates each
// Type or returns an error, and is called once for one reply.
type Sender interface {
	Send(ctx context.Context, openid string, reply *Reply) error
}

// EndpointConfig says what [NewEndpoint] is to put together.
type EndpointConfig struct {
	Verifier *Verifier // needed
	Router   *Router   // needed

	// Once makes all processes of the account handle a message once. nil: each
	// process does for itself, and what it had answered early is lost if it
	// crashes.
	Once Once

	// Account names the account to Once. "": the Verifier's AppID. Needed if there
	// is none, in plain mode, and several accounts share Once.
	Account string

	// AtMostOnce decides what happens to a message whose process crashed while it
	// was handled. false: another process, or the same one after its restart,
	// handles it again, from the beginning; a handler that pays or orders
	// something has to find out by itself (by Message.ID, say) whether it did
	// already. true: nobody handles it again, and it may be lost.
	AtMostOnce bool

	// Sender sends replies that come too late. nil: they are an error.
	Sender Sender

	// Working is a text that the follower gets instead of nothing when the answer
	// will be late, such as "请稍候".
	Working string

	// Limits of replies.
	Limits Limits

	// SealKeys seal what Once keeps: AES-256 keys of 32 bytes, of which the first
	// seals and all open. None: a key derived from the AES key, or in plain mode
	// from the Token.
	SealKeys []Secret

	// Logger gets refused requests and messages that cannot be read at Warn, and at
	// Error what went wrong in handlers without [Router.OnError]. nil discards.
	Logger *slog.Logger

	// Refused is called for each refused request, and for each message of WeChat's that
	// cannot be read ([ReasonMessage]): a hook for metrics.
	Refused func(*Error)

	// Context has values that handlers find in their Context besides those of the
	// request, and instead of them where a message comes from the inbox. Its end
	// ends nothing. nil: none.
	Context context.Context
}

// times are WeChat's and ours, in one table so that tests can be quicker.
type times struct {
	answer time.Duration // after a delivery's arrival, when it has to be answered: WeChat waits for 5 s
	last   time.Duration // after the first delivery, from when on a delivery is the last one
	window time.Duration // that a delivery waits at most, when it is not the last one
	lease  time.Duration // of a message in work; renewed after a third of it
	look   time.Duration // between looks for messages that crashed processes left
	call   time.Duration // to the store
	retry  time.Duration // of a call to the store that failed
	grace  time.Duration // for handlers after Shutdown's limit

	unreadable time.Duration // before the next look after a message that this process cannot open
}

var wechatTimes = times{
	answer: 4500 * time.Millisecond,
	last:   9500 * time.Millisecond,
	window: 15 * time.Second,
	lease:  6 * time.Second,
	look:   3 * time.Second,
	call:   2 * time.Second,
	retry:  250 * time.Millisecond,
	grace:  time.Second,

	unreadable: 10 * time.Minute,
}

const (
	lastDelivery = 3  // WeChat asks three times
	maxAttempts  = 5  // at a message that brings down the process, or seems to
	maxTaken     = 32 // messages that a process takes up at the same time
)

// Endpoint answers at the URL that is in the console: the address
// verification by GET, and by POST messages and events, which it verifies and
// opens, has handled once, and answers in time. It is an [http.Handler]; what
// another one has opened is given to [Endpoint.Serve].
//
// WeChat waits 5 seconds for an answer and asks three times, about some events for
// hours. Later deliveries wait for the first one's handler, in whatever process it
// runs, and get the same answer. When there is no time left WeChat is answered
// "success", the handler continues, and what it replies then is sent by the Sender. A
// message that was answered so is in Once's inbox until it is handled.
//
// It is made by [NewEndpoint] and ended by [Endpoint.Shutdown].
type Endpoint struct {
	config EndpointConfig
	times  times
	vault  vault
	local  local
	log    *slog.Logger

	working *Reply

	ctx    context.Context // ends when handlers are asked to
	cancel context.CancelFunc

	taking     context.Context // of who takes up messages
	stopTaking context.CancelFunc
	loop       sync.WaitGroup

	mu      sync.Mutex // guards what follows
	closing bool
	runs    map[string]*run // by key, the youngest first
	idle    chan struct{}   // closed when closing and the last run ended
	warned  bool            // of the store
}

// errShutdown is the cause that handlers find when they are asked to end.
var errShutdown = errors.New("callback: the endpoint is shutting down")

// NewEndpoint returns an error that names the field when config cannot work. The
// Endpoint looks for messages of crashed processes from now on.
func NewEndpoint(config EndpointConfig) (*Endpoint, error) {
	return newEndpoint(config, wechatTimes)
}

func newEndpoint(config EndpointConfig, times times) (*Endpoint, error) {
	switch {
	case config.Verifier == nil:
		return nil, errors.New("callback: EndpointConfig.Verifier is missing")
	case config.Router == nil:
		return nil, errors.New("callback: EndpointConfig.Router is missing")
	}
	e := &Endpoint{
		config: config, times: times, log: config.Logger,
		idle: make(chan struct{}), runs: make(map[string]*run),
	}
	e.config.Limits = config.Limits.withDefaults()
	if config.Context == nil {
		e.config.Context = context.Background()
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if config.Account == "" {
		e.config.Account = config.Verifier.appID
	}
	if config.Working != "" {
		e.working = &Reply{Type: TypeText, Content: config.Working}
		if err := e.working.check(e.config.Limits); err != nil {
			return nil, fmt.Errorf("callback: EndpointConfig.Working: %w", err)
		}
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.taking, e.stopTaking = context.WithCancel(e.ctx)
	if config.Once != nil {
		var secrets []string
		if ring, err := config.Verifier.configured(); err == nil {
			secrets = ring.secrets
		}
		var err error
		if e.vault, err = newVault(config.SealKeys, secrets); err != nil {
			return nil, err
		}
		if !config.AtMostOnce && len(e.vault) > 0 {
			e.loop.Go(e.takeUp)
		}
	}
	return e, nil
}

// ServeHTTP implements [http.Handler].
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		query, err := ParseQuery(r.URL.RawQuery)
		if err == nil {
			var echo string
			if echo, err = e.config.Verifier.VerifyURL(query); err == nil {
				plainText(w, http.StatusOK, echo)
				return
			}
		}
		e.refuse(w, err)
	case http.MethodPost:
		query, err := ParseQuery(r.URL.RawQuery)
		if err != nil {
			e.refuse(w, err)
			return
		}
		room := getRoom()
		message, pair, err := e.config.Verifier.openRequest(room, query, r)
		text := string(message)
		room.leave()
		var refusal *Error
		switch {
		case err == nil:
			e.serve(w, r, query, pair, text)
		case errors.As(err, &refusal):
			e.refuse(w, err)
		default: // the connection broke: there is nobody to refuse
			plainText(w, http.StatusBadRequest, "wrong")
		}
	default:
		w.Header().Set("Allow", "GET, POST")
		plainText(w, http.StatusMethodNotAllowed, "wrong")
	}
}

// Serve answers a push that [Verifier.Open] or [Verifier.OpenLate] has opened: query
// and pair are those of the request, message is what was returned. One whose timestamp
// is older than the Verifier's Freshness is taken only if it was encrypted, is of a kind
// that WeChat repeats for so long, and Once has known since then what was handled.
func (e *Endpoint) Serve(w http.ResponseWriter, r *http.Request, query Query, pair Pair, message []byte) {
	e.serve(w, r, query, pair, string(message))
}

func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request, query Query, pair Pair, message string) {
	m, err := parseMessage(message)
	if err != nil {
		e.unreadable(w, pair, err)
		return
	}
	stale := e.config.Verifier.stale(query, pair)
	if stale != nil && !MayBeLate(e.config.Once, m, query, e.config.Verifier.now()) {
		e.refuse(w, stale)
		return
	}
	if !pair.Encrypted && !e.bound(r.Context(), query, message) {
		e.config.Verifier.Forget(query) // or the forgery would keep the message out
		e.refuse(w, ErrReused)
		return
	}
	reply, ok := e.answer(r.Context(), delivery{m: m, message: message, late: stale != nil})
	if !ok {
		// The caller has gone, should ask another process, or should ask again.
		plainText(w, http.StatusServiceUnavailable, "wrong")
		return
	}
	e.write(w, query, pair, m, reply)
}

// unreadable answers a push whose message cannot be read. A proven one is WeChat's, and
// would be the same at its next delivery. In plain mode no signature covers the body.
func (e *Endpoint) unreadable(w http.ResponseWriter, pair Pair, err error) {
	var refusal *Error
	if !pair.Encrypted || !errors.As(err, &refusal) {
		e.refuse(w, err)
		return
	}
	e.log.Warn("wechat: a message is WeChat's and cannot be read; it is answered with success, and no handler sees it",
		slog.String("log_code", "callback_message_unreadable"),
		slog.String("reason", string(refusal.Reason)), slog.Any("error", err))
	if e.config.Refused != nil {
		e.config.Refused(refusal)
	}
	plainText(w, http.StatusOK, "success")
}

// MayBeLate reports whether an encrypted push with an old timestamp may be taken: WeChat
// may still be repeating its message, and once has known since that timestamp whether it
// was handled. once may be nil, which knows nothing. One that is not [Recent] counts as
// having known for ever: with a new database in the place of an old one, an order of the
// last hours may be handled again.
func MayBeLate(once Once, m *Message, query Query, now time.Time) bool {
	seconds, err := strconv.ParseInt(query.Timestamp, 10, 64)
	if once == nil || err != nil {
		return false
	}
	sent := time.Unix(seconds, 0)
	age := now.Sub(sent)
	if age < 0 || age > m.Repeats() {
		return false
	}
	recent, ok := once.(Recent)
	return !ok || recent.Since().Before(sent)
}

// Recent is an optional ability of a [Once] that knows nothing of what happened before
// Since, such as one in the memory of a process.
type Recent interface{ Since() time.Time }

// bound tells the other processes what came under a plain signature: anyone who
// claims it first is the body, and owns it.
func (e *Endpoint) bound(ctx context.Context, query Query, body string) bool {
	if e.config.Once == nil {
		return true
	}
	life := e.config.Verifier.memory()
	sum := sha256.Sum256([]byte(body))
	ctx, cancel := context.WithTimeout(ctx, e.times.call)
	defer cancel()
	attempt, _, _, err := e.config.Once.Claim(ctx, e.config.Account, "signature "+query.Signature,
		base64.RawURLEncoding.EncodeToString(sum[:]), life, life)
	return err != nil || attempt > 0 // this process remembers in any case
}

// write answers with a reply in plain text, empty for nothing.
func (e *Endpoint) write(w http.ResponseWriter, query Query, pair Pair, m *Message, reply []byte) {
	contentType, reply := unrendered(reply)
	if len(reply) == 0 || string(reply) == "success" {
		plainText(w, http.StatusOK, "success") // never encrypted
		return
	}
	if pair.Encrypted {
		room := getRoom()
		defer room.leave()
		var err error
		if reply, err = e.config.Verifier.sealBody(room, pair, time.Now(), query.Nonce, reply, m.JSON); err != nil {
			e.log.Error("wechat: a reply cannot be sealed",
				slog.String("log_code", "callback_reply_unsealed"), slog.Any("error", err)) // Limits allow one larger than MaxBody
			plainText(w, http.StatusOK, "success")
			return
		}
		contentType = contentTypeOf(reply)
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(reply) //nolint:gosec // G705: no browser asks, and the Content-Type is not HTML
}

func plainText(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) //nolint:gosec // G705: what is echoed is signed, and text/plain
}

// refuse says why in the log, and only there.
func (e *Endpoint) refuse(w http.ResponseWriter, err error) {
	status := http.StatusForbidden
	if refusal, ok := errors.AsType[*Error](err); ok {
		e.log.Warn("a callback was refused",
			slog.String("log_code", "callback_refused"), slog.String("reason", string(refusal.Reason)), slog.Any("error", err))
		if e.config.Refused != nil {
			e.config.Refused(refusal)
		}
		status = refusal.Status()
	}
	plainText(w, status, "wrong")
}

// Shutdown takes no more messages and waits for the handlers that run. When ctx
// ends it asks them to end through their own Context and gives them a second; what
// is not handled then is left to other processes, or to this program's next
// start, where Once allows, and Shutdown returns ctx's error. Shut down the HTTP
// server first, with a limit of its own.
func (e *Endpoint) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	if !e.closing {
		e.closing = true
		e.stopTaking()
		if len(e.runs) == 0 {
			close(e.idle)
		}
	}
	e.mu.Unlock()
	e.loop.Wait()
	defer e.stopRuns()
	select {
	case <-e.idle:
		return nil
	case <-ctx.Done():
	}
	e.stopRuns()
	grace := time.NewTimer(e.times.grace)
	defer grace.Stop()
	select {
	case <-e.idle:
	case <-grace.C:
		e.mu.Lock()
		var left []*run
		for _, run := range e.runs {
			for ; run != nil; run = run.older {
				left = append(left, run)
			}
		}
		e.mu.Unlock()
		for _, run := range left {
			run.leave()
		}
	}
	return ctx.Err()
}

// stopRuns asks the handlers to end.
func (e *Endpoint) stopRuns() {
	e.cancel()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.runs {
		for ; r != nil; r = r.older {
			r.cancel(errShutdown)
		}
	}
}

// enter counts a run in, for Shutdown to wait for.
func (e *Endpoint) enter(r *run) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return false
	}
	r.older = e.runs[r.key]
	e.runs[r.key] = r
	return true
}

func (e *Endpoint) exit(r *run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if first := e.runs[r.key]; first != r {
		for first.older != r {
			first = first.older
		}
		first.older = r.older
	} else if r.older != nil {
		e.runs[r.key] = r.older
	} else {
		delete(e.runs, r.key)
	}
	if e.closing && len(e.runs) == 0 {
		close(e.idle)
	}
}

// here returns the run of a message in this process, nil if there is none.
func (e *Endpoint) here(key string) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[key]
}
