package fanout

import (
	"bytes"
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

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/store"
)

// Has reports whether there is such an account.
func (f *Fanout) Has(appID string) bool { return (*f.receivers.Load())[appID] != nil }

// Serve answers WeChat at an account's address. proven is called as soon as it is known
// that WeChat has signed; it may be called more than once.
func (f *Fanout) Serve(w http.ResponseWriter, r *http.Request, appID string, proven func()) {
	rc := (*f.receivers.Load())[appID]
	if rc == nil {
		plainText(w, http.StatusNotFound, "wrong")
		return
	}
	query, err := callback.ParseQuery(r.URL.RawQuery)
	switch {
	case r.Method == http.MethodGet:
		var echo string
		if err == nil {
			echo, err = rc.verifier.VerifyURL(query)
		}
		if err == nil {
			proven()
			plainText(w, http.StatusOK, echo)
			return
		}
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, POST")
		plainText(w, http.StatusMethodNotAllowed, "wrong")
		return
	case err == nil:
		p := &push{f: f, rc: rc, began: time.Now(), proven: proven}
		err = p.receive(w, r, query)
	}
	var refusal *callback.Error
	switch {
	case err == nil:
	case errors.As(err, &refusal):
		f.refuse(w, r, appID, refusal)
	default: // WeChat asks again
		f.log.Warn("a push is not taken, and will be sent again", "log_code", "fanout_not_taken", "appid", appID, "error", err)
		plainText(w, http.StatusServiceUnavailable, "wrong")
	}
}

// refuse says nothing but the status. A GET without a signature is somebody's browser.
func (f *Fanout) refuse(w http.ResponseWriter, r *http.Request, appID string, refusal *callback.Error) {
	browser := r.Method == http.MethodGet && refusal.Reason == callback.ReasonMissing
	switch {
	case !browser && !f.refused(r.RemoteAddr):
		w.Header().Set("Connection", "close")
	default:
		level := slog.LevelWarn
		if browser {
			level = slog.LevelDebug
		}
		f.log.LogAttrs(r.Context(), level, "refused a push",
			slog.String("log_code", "fanout_refused"), slog.String("appid", appID), slog.String("reason", string(refusal.Reason)),
			slog.String("remote", r.RemoteAddr), slog.Any("error", refusal))
	}
	plainText(w, refusal.Status(), "wrong")
}

func plainText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) //nolint:gosec // G705: what is echoed is signed, and text/plain
}

// receive takes one push. With an error nothing was answered.
func (p *push) receive(w http.ResponseWriter, r *http.Request, query callback.Query) error {
	rc := p.rc
	surely, err := rc.verifier.Signed(query)
	if err != nil {
		w.Header().Set("Connection", "close") // net/http would wait for the body
		return err
	}
	if surely {
		p.proven()
	}
	text, pair, err := rc.verifier.OpenLate(query, r)
	var refusal *callback.Error
	switch {
	case err == nil:
		p.proven()
	case errors.As(err, &refusal):
		return err
	default:
		return fmt.Errorf("the connection ended before the body did: %w", err)
	}
	if p.message, err = callback.ParseMessage(text); err != nil {
		return p.unreadable(w, pair, err)
	}
	if err := p.fresh(query, pair); err != nil {
		return err
	}
	// What has begun is brought to its end, though WeChat may have gone: it asks
	// again, and is given what came of it.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(r.Context()), p.began.Add(answerTime))
	defer cancel()
	p.text = string(text)
	p.key = digest("push", rc.appID, p.message.Key())
	if !pair.Encrypted && !p.bound(ctx, query) {
		rc.verifier.Forget(query)
		return callback.ErrReused
	}
	reply, err := p.take(ctx)
	switch {
	case errors.Is(err, errPending):
		p.f.log.Debug("a push is kept, and its subscriber has not answered yet: it will be sent again", "appid", rc.appID, "event", p.message.Event)
		plainText(w, http.StatusServiceUnavailable, "wrong")
		return nil
	case err != nil:
		return err
	}
	p.answer(w, query, pair, reply)
	return nil
}

// unreadable answers a push of WeChat's that cannot be read: it would be the same at its
// next delivery. In plain mode no signature covers the body, and it is refused.
func (p *push) unreadable(w http.ResponseWriter, pair callback.Pair, err error) error {
	if !pair.Encrypted {
		return err
	}
	p.f.log.Warn("a push is signed right and cannot be read; it is answered with success, and no subscriber gets it",
		"log_code", "fanout_unreadable",
		"appid", p.rc.appID, "error", err)
	plainText(w, http.StatusOK, "success")
	return nil
}

// fresh refuses an encrypted push with an old timestamp, unless WeChat may still be
// repeating its message: then the store tells whether it was handled.
func (p *push) fresh(query callback.Query, pair callback.Pair) error {
	if !pair.Encrypted {
		return nil
	}
	err := p.rc.verifier.Fresh(query)
	if err == nil {
		return nil
	}
	if p.late = callback.MayBeLate(p.f.store, p.message, query, time.Now()); p.late {
		return nil
	}
	return err
}

// push is one delivery of WeChat's on its way.
type push struct {
	f       *Fanout
	rc      *receiver
	began   time.Time
	proven  func()
	message *callback.Message
	text    string
	key     string // of all its deliveries
	late    bool   // its timestamp is old: only the store can tell whether it was handled
	wanted  []*subscriber
}

// digest is 43 characters that tell parts from others.
func digest(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_, _ = io.WriteString(h, strconv.Itoa(len(part))+" "+part) // a hash never fails to write
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// bound tells the other gateways what came under a plain signature, which does not
// cover the body: the first one counts.
func (p *push) bound(ctx context.Context, query callback.Query) bool {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	key := digest("signature", p.rc.appID, query.Signature)
	attempt, _, _, err := p.f.store.Claim(ctx, p.rc.appID, key, digest(p.text), rememberTime, rememberTime)
	return err != nil || attempt > 0 // this gateway's Verifier remembers in any case
}

// take sees to it that every subscriber that wants the push has it, or will be given
// it, and returns what to reply in plain text, nil for nothing. With an error, WeChat
// has to ask again.
func (p *push) take(ctx context.Context) (reply []byte, err error) {
	for _, s := range p.rc.subscribers {
		if s.wants(p.message) {
			p.wanted = append(p.wanted, s)
		}
	}
	if len(p.wanted) == 0 {
		p.f.log.Debug("nobody wants a push", "appid", p.rc.appID, "type", p.message.Type, "event", p.message.Event)
		return nil, nil
	}
	owner := callback.NewOwner(p.message.FromUserName)
	short, cancel := context.WithTimeout(ctx, storeTime)
	attempt, _, _, err := p.f.store.Claim(short, p.rc.appID, p.key, owner, claimTime, p.message.Remember())
	cancel()
	p.f.answered(err)
	switch {
	case err != nil && p.late:
		return nil, errStoreAway
	case err != nil:
		return p.direct(ctx)
	case attempt == 0:
		var sealed []byte
		attempt, sealed, err = p.f.store.Wait(ctx, p.key, owner, claimTime)
		switch {
		case callback.IsAnswerGone(err):
			p.answerGone()
			return nil, nil
		case err != nil:
			return nil, errors.New("another delivery of it is being handled")
		}
		if attempt == 0 && bytes.Equal(sealed, pending) {
			return p.recorded(ctx)
		}
		if attempt == 0 {
			return p.known(sealed), nil
		}
	}
	return p.hand(ctx, owner)
}

// answerGone says that a repetition cannot get the answer of the first delivery.
func (p *push) answerGone() {
	p.f.log.Warn("a push is repeated that was handled, and its answer is not kept any more: it is answered with success",
		"log_code", "fanout_answer_gone", "appid", p.rc.appID)
}

// known is the answer that an earlier delivery got.
func (p *push) known(sealed []byte) []byte {
	if len(sealed) == 0 {
		return nil
	}
	text, err := p.f.open(sealName("answer", p.rc.appID, p.key), sealed)
	if err != nil {
		p.f.log.Error("the answer to a push cannot be read by this gateway",
			"log_code", "fanout_answer_unreadable", "appid", p.rc.appID, "error", err)
		return nil
	}
	return []byte(text)
}

// hand puts the push into the queue, for each who wants it, and then has the first
// answer it.
func (p *push) hand(ctx context.Context, owner string) (reply []byte, err error) {
	lane := digest("lane", p.rc.appID, p.message.FromUserName)
	deliveries := make([]store.Delivery, len(p.wanted))
	for i, s := range p.wanted {
		body, err := p.f.seal(sealName("push", s.line, p.key), p.text)
		if err != nil {
			return nil, err
		}
		deliveries[i] = store.Delivery{Line: s.line, Lane: lane, ID: p.key, Body: body}
	}
	first := p.f.line(p.wanted[0].line)
	ask := false
	if first != nil {
		ask, _ = first.up()
	}
	if ask {
		deliveries[0].Owner, deliveries[0].Wait = syncOwner, holdTime
	}
	short, cancel := context.WithTimeout(ctx, storeTime)
	err = p.f.store.Push(short, deliveries)
	cancel()
	p.f.answered(err)
	if err != nil {
		return p.direct(ctx)
	}
	for i, s := range p.wanted {
		if l := p.f.line(s.line); l != nil && (i > 0 || !ask) {
			l.ring()
		}
	}
	answered := first == nil
	switch {
	case ask:
		reply, answered = p.ask(ctx, first, lane)
	case first != nil:
		first.unanswered(nil) // the log knows that it is down
	}
	if !answered && insists(p.message) {
		if err := p.pend(owner); err != nil {
			return nil, err
		}
		if !ask {
			return nil, errPending
		}
		return p.recorded(ctx)
	}
	p.finish(owner, reply)
	return reply, nil
}

// finish records the answer for repetitions.
func (p *push) finish(owner string, reply []byte) {
	var sealed []byte
	var err error
	if len(reply) > 0 {
		sealed, err = p.f.seal(sealName("answer", p.rc.appID, p.key), string(reply))
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), storeTime/2)
		defer cancel()
		_, _, err = p.f.store.Finish(ctx, p.key, owner, sealed, p.message.Remember())
	}
	if err != nil {
		p.f.log.Warn("what became of a push cannot be recorded; if it is repeated, it is delivered again",
			"log_code", "fanout_outcome_unrecorded", "appid", p.rc.appID, "error", err)
	}
}

// ask has the first subscriber answer, when it is this push's turn, and reports whether
// it did.
func (p *push) ask(ctx context.Context, l *line, lane string) (reply []byte, answered bool) {
	ctx, cancel := context.WithDeadline(ctx, p.began.Add(askTime))
	defer cancel()
	turn, waits := p.turn(ctx, l)
	if !waits {
		return nil, false // it was delivered meanwhile
	}
	var err error
	pause := time.Duration(0)
	if turn {
		reply, err = p.f.send(ctx, p.wanted[0], p.message, p.text, true)
		if err == nil {
			l.succeeded()
			p.f.aside(func() {
				l.done(p.key)
				l.ring()
			})
			return reply, true
		}
		l.failed(lane, err)
		if !isAway(err) {
			pause = backOff(2)
		}
	}
	l.unanswered(err)
	p.f.aside(func() {
		l.later(p.key, syncOwner, pause)
		l.ring()
	})
	return nil, false
}

// turn waits until nothing that the follower sent before is undelivered.
func (p *push) turn(ctx context.Context, l *line) (turn, waits bool) {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		turn, waits, err := p.f.store.Turn(ctx, l.name, p.key, syncOwner)
		switch {
		case err != nil:
			return false, true
		case turn, !waits:
			return turn, waits
		}
		if up, _ := l.up(); !up || !wait(ctx, jitter(pause)) {
			return false, true
		}
	}
}

// errStoreAway is for WeChat to ask again.
var errStoreAway = errors.New("the store cannot keep it, and not every subscriber took it at once")

// direct delivers without a store: to all at once, and only if all of them take it
// has WeChat nothing to repeat. What waits for one must not be overtaken.
func (p *push) direct(ctx context.Context) (reply []byte, err error) {
	for _, s := range p.wanted {
		l := p.f.line(s.line)
		if l == nil {
			return nil, errStoreAway
		}
		if up, empty := l.up(); !up || !empty {
			return nil, errStoreAway
		}
	}
	ctx, cancel := context.WithDeadline(ctx, p.began.Add(askTime))
	defer cancel()
	errs := make([]error, len(p.wanted))
	var all sync.WaitGroup
	for i, s := range p.wanted {
		all.Go(func() {
			answer, err := p.f.send(ctx, s, p.message, p.text, i == 0)
			if errs[i] = err; i == 0 {
				reply = answer
			}
		})
	}
	all.Wait()
	for i, err := range errs {
		l := p.f.line(p.wanted[i].line)
		switch {
		case l == nil:
		case err == nil:
			l.succeeded()
		default:
			l.failed(digest("lane", p.rc.appID, p.message.FromUserName), err)
		}
	}
	if errors.Join(errs...) != nil {
		return nil, errStoreAway
	}
	return reply, nil
}

// answer answers WeChat, in the mode of its push.
func (p *push) answer(w http.ResponseWriter, query callback.Query, pair callback.Pair, reply []byte) {
	if len(reply) == 0 {
		plainText(w, http.StatusOK, "success") // never encrypted
		return
	}
	asJSON := bytes.HasPrefix(reply, []byte("{"))
	if pair.Encrypted {
		envelope, err := p.rc.verifier.Seal(pair, strconv.FormatInt(time.Now().Unix(), 10), query.Nonce, reply)
		if err != nil {
			p.f.log.Error("a reply cannot be encrypted", "log_code", "fanout_reply_unsealed", "appid", p.rc.appID, "error", err)
			plainText(w, http.StatusOK, "success")
			return
		}
		asJSON = p.message.JSON // the envelope has the form of the push, whatever is inside
		if reply = envelope.XML(); asJSON {
			reply = envelope.JSON()
		}
	}
	contentType := "text/xml; charset=utf-8"
	if asJSON {
		contentType = "application/json; charset=utf-8"
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(reply) //nolint:gosec // G705: no browser asks, and the Content-Type is not HTML
}
