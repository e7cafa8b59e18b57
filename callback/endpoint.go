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
	"slices"
	"sync"
	"time"
)

// Sender sends a reply that came too late for the HTTP response, as WeChat's
// customer-service API (/cgi-bin/message/custom/send) does. It has every Type to
// translate or to refuse, and is not asked twice for one reply.
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

	// Working is a text that the follower gets in place of nothing when the answer
	// will be late, such as "请稍候".
	Working string

	// Limits of replies.
	Limits Limits

	// SealKeys seal what Once keeps: AES-256 keys of 32 bytes, of which the first
	// seals and all open. None: a key derived from the AES key, or in plain mode
	// from the Token.
	SealKeys []Secret

	// Logger hears of refused requests at Warn, and at Error of what went wrong in
	// handlers without [Router.OnError]. nil discards.
	Logger *slog.Logger

	// Refused is called for each refused request: a hook for metrics.
	Refused func(*Error)

	// Context has values that handlers find in their Context beside those of the
	// request, and in place of them where a message comes from the inbox. Its end
	// ends nothing. nil: none.
	Context context.Context
}

// times are WeChat's and ours, in one table so that tests can be quicker.
type times struct {
	answer time.Duration // after a delivery's arrival, when it has to be answered: WeChat waits for 5 s
	last   time.Duration // after the first delivery, from when on a delivery is the last one
	window time.Duration // after the first delivery, until when its repetitions get its answer
	lease  time.Duration // of a message in work; renewed after a third of it
	look   time.Duration // between looks for messages that crashed processes left
	call   time.Duration // to the store
	retry  time.Duration // of a call to the store that failed
	grace  time.Duration // for handlers after Shutdown's limit
	keep   time.Duration // of outcomes
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
	keep:   24 * time.Hour,
}

const (
	lastDelivery = 3  // WeChat asks three times
	maxAttempts  = 5  // at a message that brings down the process, or seems to
	maxTaken     = 32 // messages that a process takes up at the same time
)

// Endpoint answers at the URL that stands in the console: the address
// verification by GET, and by POST messages and events, which it verifies and
// opens, has handled once, and answers in time. It is an [http.Handler]; what
// another one has opened is given to [Endpoint.Serve].
//
// WeChat waits 5 seconds for an answer and asks three times. The second and third
// delivery wait for the first one's handler, in whatever process it runs, and get
// the same answer. When there is no time left WeChat is told "success", the
// handler goes on, and what it replies then leaves through the Sender. A message
// that was answered so stands in Once's inbox until it is handled.
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
	e.times.keep = max(times.keep, 2*config.Verifier.freshness)
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
		room.body, err = readBody(r, room.body)
		if err != nil {
			room.leave()
			plainText(w, http.StatusBadRequest, "wrong") // the connection broke: there is nobody to refuse
			return
		}
		message, pair, err := e.config.Verifier.open(room, query, room.body)
		text := string(message)
		room.leave()
		if err != nil {
			e.refuse(w, err)
			return
		}
		e.serve(w, r, query, pair, text)
	default:
		w.Header().Set("Allow", "GET, POST")
		plainText(w, http.StatusMethodNotAllowed, "wrong")
	}
}

// readBody reads into the room of body: one byte more than Open takes, at most.
func readBody(r *http.Request, body []byte) ([]byte, error) {
	size := r.ContentLength
	if size > MaxBody {
		return make([]byte, MaxBody+1), nil // nothing is read, and Open says what is wrong
	}
	if size >= 0 {
		body = slices.Grow(body[:0], int(size))[:size]
		_, err := io.ReadFull(r.Body, body)
		return body, err
	}
	for body = slices.Grow(body[:0], 4<<10); len(body) <= MaxBody; {
		if len(body) == cap(body) {
			body = append(make([]byte, 0, min(2*cap(body), MaxBody+1)), body...)
		}
		n, err := r.Body.Read(body[len(body):min(cap(body), MaxBody+1)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return body, err
		}
	}
	return body, nil
}

// Serve answers a push that [Verifier.Open] has opened: query and pair are those
// of the request, message is what Open returned.
func (e *Endpoint) Serve(w http.ResponseWriter, r *http.Request, query Query, pair Pair, message []byte) {
	e.serve(w, r, query, pair, string(message))
}

func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request, query Query, pair Pair, message string) {
	m, err := parseMessage(message)
	if err != nil {
		e.refuse(w, err)
		return
	}
	if !pair.Encrypted && !e.bound(r.Context(), query, message) {
		e.config.Verifier.Forget(query) // or the forgery would keep the message out
		e.refuse(w, errReused)
		return
	}
	reply, ok := e.answer(r.Context(), m, message)
	if !ok {
		// Whoever asked has gone, or should ask another process.
		plainText(w, http.StatusServiceUnavailable, "wrong")
		return
	}
	e.write(w, query, pair, m, reply)
}

// bound tells the other processes what came under a plain signature: whoever
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
	if len(reply) == 0 {
		plainText(w, http.StatusOK, "success") // never encrypted
		return
	}
	if pair.Encrypted {
		room := getRoom()
		defer room.leave()
		var err error
		if reply, err = e.config.Verifier.sealBody(room, pair, time.Now(), query.Nonce, reply, m.JSON); err != nil {
			e.log.Error("wechat: a reply cannot be sealed", slog.Any("error", err)) // Limits allow one larger than MaxBody
			plainText(w, http.StatusOK, "success")
			return
		}
	}
	contentType := "text/xml; charset=utf-8"
	if m.JSON {
		contentType = "application/json; charset=utf-8"
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

// refuse answers 403 and says why in the log, and only there.
func (e *Endpoint) refuse(w http.ResponseWriter, err error) {
	var refusal *Error
	if errors.As(err, &refusal) {
		e.log.Warn("wechat: callback refused", slog.String("reason", string(refusal.Reason)), slog.Any("error", err))
		if e.config.Refused != nil {
			e.config.Refused(refusal)
		}
	}
	plainText(w, http.StatusForbidden, "wrong")
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
