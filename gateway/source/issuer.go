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

// issuer is the gateway as a Keeper sees it: who issues an account's token.
type issuer struct {
	gateways *gateways
	appID    string

	asking sync.Mutex // held while a gateway is told of a refusal

	mu    sync.Mutex // guards what follows
	last  handed     // what Fetch returned last
	next  *handed    // the answer to a Reject, for the Fetch that follows
	sound string     // the value that came so: the Keeper asks about it once more
}

// handed is a token as a gateway hands it out.
type handed struct {
	AppID   string `json:"appid"`
	Value   string `json:"access_token"`
	Seconds int64  `json:"expires_in"`
	Real    bool   `json:"real"`
	Fence   int64  `json:"fence"`

	asked time.Time // before the request
}

func (i *issuer) kind() custody.Kind {
	return custody.Kind{Fetch: i.fetch, Probe: i.probe, Idempotent: true}
}

func (i *issuer) path(rest string) string { return apiPath + url.PathEscape(i.appID) + rest }

// fetch asks for the token.
func (i *issuer) fetch(ctx context.Context, _ custody.Mode) (custody.Grant, error) {
	i.mu.Lock()
	h := i.next
	i.next = nil
	i.mu.Unlock()
	if h == nil || time.Since(h.asked) > probeTimeout {
		h = &handed{asked: time.Now()}
		if err := i.gateways.ask(ctx, http.MethodGet, i.path("/token"), nil, h); err != nil {
			return custody.Grant{}, failure(err)
		}
	}
	if h.AppID != i.appID {
		return custody.Grant{}, failure(errors.New("the gateway answered with the token of another account"))
	}
	grant, err := grantOf(h.Value, time.Duration(h.Seconds)*time.Second-time.Since(h.asked).Truncate(time.Second))
	if err != nil {
		return custody.Grant{}, failure(err)
	}
	i.mu.Lock()
	i.last = *h
	i.mu.Unlock()
	return grant, nil
}

// grantOf keeps out what is no token.
func grantOf(value string, left time.Duration) (custody.Grant, error) {
	switch {
	case value == "" || len(value) > maxValue || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }):
		return custody.Grant{}, errors.New("the gateway answered with what is no token: is it a gateway?")
	case left < time.Second:
		return custody.Grant{}, errors.New("the gateway's token is about to end, and it has no newer one yet")
	}
	return custody.Grant{Value: custody.NewSecret(value), ExpiresIn: left}, nil
}

// probe tells the gateway that a value was refused. Its answer, another value, is a
// verdict, and kept for the Fetch that follows. The Keeper asks about that one too,
// in the same renewal; the gateway has just answered for it.
func (i *issuer) probe(ctx context.Context, value string) custody.Verdict {
	i.mu.Lock()
	sound := i.sound == value && i.last.Value == value && time.Since(i.last.asked) < believed
	i.sound = ""
	i.mu.Unlock()
	if sound {
		return custody.Accepted
	}
	body, err := json.Marshal(map[string]string{"access_token": value})
	if err != nil {
		return custody.NoVerdict
	}
	i.asking.Lock()
	defer i.asking.Unlock()
	h := &handed{asked: time.Now()}
	err = i.gateways.ask(ctx, http.MethodPost, i.path("/reject"), body, h)
	var r *refusal
	switch {
	case errors.As(err, &r) && r.status == http.StatusConflict:
		return custody.Accepted
	case err != nil, h.Value == "", h.Value == value:
		return custody.NoVerdict
	}
	i.mu.Lock()
	i.next, i.sound = h, h.Value
	i.mu.Unlock()
	return custody.Rejected
}

// current returns what was handed out last. The answer to a Reject that is under way
// is waited for: the gateway tells its subscribers of what comes of it first.
func (i *issuer) current() handed {
	i.asking.Lock()
	defer i.asking.Unlock()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.next != nil {
		return *i.next
	}
	return i.last
}

// ticket is the kind of a ticket that the gateway keeps.
func (i *issuer) ticket(ticketType string) custody.Kind {
	return custody.Kind{
		Fetch: func(ctx context.Context, _ custody.Mode) (custody.Grant, error) {
			var h struct {
				AppID   string `json:"appid"`
				Type    string `json:"type"`
				Ticket  string `json:"ticket"`
				Seconds int64  `json:"expires_in"`
			}
			if err := i.gateways.ask(ctx, http.MethodGet, i.path("/tickets/"+ticketType), nil, &h); err != nil {
				return custody.Grant{}, failure(err)
			}
			if h.AppID != i.appID || h.Type != ticketType {
				return custody.Grant{}, failure(fmt.Errorf("the gateway answered with something else than the %s ticket", ticketType))
			}
			grant, err := grantOf(h.Ticket, time.Duration(h.Seconds)*time.Second)
			if err != nil {
				return custody.Grant{}, failure(err)
			}
			return grant, nil
		},
		Idempotent: true,
	}
}
