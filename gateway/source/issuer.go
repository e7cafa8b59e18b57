package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

const (
	maxValue = 2048            // bytes, of a token or ticket
	believed = 5 * time.Second // how long what a gateway gave after a Reject needs no further question
)

// issuer is the gateway as a Keeper sees it: what issues an account's token, or a ticket.
type issuer struct {
	gateways *gateways
	appID    string
	ticket   string // its type; "" for the token
	answered func() // is called when the gateways have handed something out

	asking chan struct{} // one place: a gateway is being notified of a refusal

	mu    sync.Mutex // guards what follows
	asked time.Time  // when the gateways were last asked for it, whatever came of it
	last  handed     // what Fetch returned last
	next  *handed    // the answer to a Reject or to ask, for the Fetch that follows
	sound string     // the value that came after a Reject: the Keeper asks about it once more
}

// handed is a token or a ticket as a gateway hands it out.
type handed struct {
	AppID   string `json:"appid"`
	Token   string `json:"access_token"`
	Ticket  string `json:"ticket"`
	Type    string `json:"type"` // of a ticket
	Seconds int64  `json:"expires_in"`
	Real    bool   `json:"real"`
	Fence   int64  `json:"fence"`

	asked time.Time // before the request
}

// value is the token or the ticket.
func (h *handed) value() string { return h.Token + h.Ticket }

func (i *issuer) kind() custody.Kind {
	return custody.Kind{Fetch: i.fetch, Probe: i.probe, Idempotent: true}
}

// path is where the gateways hand it out.
func (i *issuer) path() string {
	path := apiPath + url.PathEscape(i.appID)
	if i.ticket != "" {
		return path + "/tickets/" + i.ticket
	}
	return path + "/token"
}

// rejectPath is where the gateways are notified of a refusal, and field what it names.
func (i *issuer) rejectPath() (path, field string) {
	path = apiPath + url.PathEscape(i.appID)
	if i.ticket != "" {
		return path + "/tickets/" + i.ticket + "/reject", "ticket"
	}
	return path + "/reject", "access_token"
}

// get asks the gateways for it.
func (i *issuer) get(ctx context.Context) (*handed, error) {
	h := &handed{asked: time.Now()}
	i.mu.Lock()
	i.asked = h.asked
	i.mu.Unlock()
	if err := i.gateways.ask(ctx, http.MethodGet, i.path(), nil, h); err != nil {
		return nil, err
	}
	return h, nil
}

// ask asks the gateways for what the next Fetch returns.
func (i *issuer) ask(ctx context.Context) error {
	h, err := i.get(ctx)
	if err != nil {
		return err
	}
	if _, err := i.grant(h); err != nil {
		return err
	}
	i.mu.Lock()
	i.next = h
	i.mu.Unlock()
	return nil
}

// lastAsked returns when the gateways were last asked.
func (i *issuer) lastAsked() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

// fetch returns what a gateway has just answered, or asks.
func (i *issuer) fetch(ctx context.Context, _ custody.Mode) (custody.Grant, error) {
	i.mu.Lock()
	h := i.next
	i.next = nil
	i.mu.Unlock()
	if h == nil || time.Since(h.asked) > probeTimeout {
		var err error
		if h, err = i.get(ctx); err != nil {
			return custody.Grant{}, failure(err)
		}
		i.answered()
	}
	grant, err := i.grant(h)
	if err != nil {
		return custody.Grant{}, failure(err)
	}
	i.mu.Lock()
	i.last = *h
	i.mu.Unlock()
	return grant, nil
}

// grant keeps out what is no token or ticket of the account.
func (i *issuer) grant(h *handed) (custody.Grant, error) {
	what := "token"
	if i.ticket != "" {
		what = "ticket"
	}
	value := h.value()
	left := time.Duration(h.Seconds)*time.Second - time.Since(h.asked).Truncate(time.Second)
	switch {
	case h.AppID != i.appID || h.Type != i.ticket:
		return custody.Grant{}, fmt.Errorf("the gateway answered with something else than the %s of this account", what)
	case value == "" || len(value) > maxValue || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }):
		return custody.Grant{}, fmt.Errorf("the gateway answered with what is no %s: is it a gateway?", what)
	case left < time.Second:
		return custody.Grant{}, fmt.Errorf("the gateway's %s is about to expire, and it has no newer one yet", what)
	}
	return custody.Grant{Value: custody.NewSecret(value), ExpiresIn: left}, nil
}

// probe notifies the gateway that a value was refused. Its answer, another value, is a
// verdict, and kept for the Fetch that follows. The Keeper asks about that one too, in
// the same renewal; the gateway has just answered for it.
func (i *issuer) probe(ctx context.Context, value string) custody.Verdict {
	i.mu.Lock()
	sound := i.sound == value && i.last.value() == value && time.Since(i.last.asked) < believed
	i.sound = ""
	i.mu.Unlock()
	if sound {
		return custody.Accepted
	}
	path, field := i.rejectPath()
	body, err := json.Marshal(map[string]string{field: value})
	if err != nil {
		return custody.NoVerdict
	}
	if !i.alone(ctx) {
		return custody.NoVerdict
	}
	defer func() { <-i.asking }()
	h := &handed{asked: time.Now()}
	err = i.gateways.ask(ctx, http.MethodPost, path, body, h)
	var r *refusal
	switch {
	case errors.As(err, &r) && r.status == http.StatusConflict, err == nil && h.value() == value:
		return custody.Accepted
	case err != nil, h.value() == "":
		return custody.NoVerdict
	}
	i.mu.Lock()
	i.next, i.sound = h, h.value()
	i.mu.Unlock()
	return custody.Rejected
}

// current returns what was handed out last. The answer to a Reject that is under way
// is waited for until ctx ends: the gateway notifies its subscribers of what comes of it
// first.
func (i *issuer) current(ctx context.Context) handed {
	if i.alone(ctx) {
		defer func() { <-i.asking }()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.next != nil {
		return *i.next
	}
	return i.last
}

// alone waits until no gateway is being notified of a refusal, and keeps it so. It
// reports false when ctx ends before.
func (i *issuer) alone(ctx context.Context) bool {
	select {
	case i.asking <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}
