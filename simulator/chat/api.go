package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/zhongkong-go/zhongkong/simulator"
)

// api is the simulator's HTTP API, all that the page knows of the simulator.
type api struct{ handler http.Handler }

// answer is what the handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// call makes a call as a program on this machine does, without a socket. in and out may be
// nil. An error is what the API says in its answer.
func (a api) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if in == nil {
		body = nil
	}
	target := "http://127.0.0.1" + simulator.AdminPath + path
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body)) //nolint:gosec // nothing is sent: the handler is called
	if err != nil {
		return err
	}
	r.RemoteAddr = "127.0.0.1:0"
	got := answer{header: http.Header{}, status: http.StatusOK}
	a.handler.ServeHTTP(&got, r)
	if got.status != http.StatusOK {
		var problem struct{ Error string }
		if json.Unmarshal(got.body.Bytes(), &problem) != nil || problem.Error == "" {
			return fmt.Errorf("chat: %s %s answers %d: is it the handler of a simulator?", method, r.URL.Path, got.status)
		}
		return errors.New(problem.Error)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(got.body.Bytes(), out); err != nil {
		return fmt.Errorf("chat: the answer to %s %s cannot be read: %w", method, r.URL.Path, err)
	}
	return nil
}

// duration is written as the API writes one.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

// accounts is the answer to GET accounts.
type accounts struct {
	Accounts []account `json:"accounts"`
	Life     duration  `json:"life"`
	MadeUp   bool      `json:"made_up"`
}

type account struct {
	simulator.Account

	CanPush bool              `json:"can_push"`
	Menu    json.RawMessage   `json:"menu"`
	Tokens  []token           `json:"tokens"`
	Quotas  []simulator.Quota `json:"quotas"`
	Stats   simulator.Stats   `json:"stats"`
}

type token struct {
	Pool    simulator.Pool `json:"pool"`
	End     string         `json:"token_ends_with"`
	Value   string         `json:"token"` // only with the secrets
	Left    duration       `json:"left"`
	Errcode int            `json:"errcode"`
}

func (all accounts) find(appid string) (account, bool) {
	i := slices.IndexFunc(all.Accounts, func(a account) bool { return a.AppID == appid })
	if i < 0 {
		return account{}, false
	}
	return all.Accounts[i], true
}

// accounts returns the accounts, with their secrets where those may be shown.
func (a api) accounts(ctx context.Context, secrets bool) (all accounts, err error) {
	err = a.call(ctx, http.MethodGet, "accounts", nil, &all)
	if err == nil && secrets && all.MadeUp {
		err = a.call(ctx, http.MethodGet, "accounts?secrets=1", nil, &all)
	}
	if err == nil && len(all.Accounts) == 0 {
		err = errors.New("chat: the simulator has no accounts")
	}
	return all, err
}

// update changes fields of an account.
func (a api) update(ctx context.Context, appid string, fields map[string]any) error {
	return a.call(ctx, http.MethodPatch, "accounts/"+url.PathEscape(appid), fields, nil)
}

// does calls POST accounts/APPID/what.
func (a api) does(ctx context.Context, appid, what string, in, out any) error {
	return a.call(ctx, http.MethodPost, "accounts/"+url.PathEscape(appid)+"/"+what, in, out)
}

// push is the body of POST push and request.
type push struct {
	Type  string            `json:"type"`
	Value string            `json:"value"`
	Set   map[string]string `json:"set,omitempty"`
	From  string            `json:"from"`
	AppID string            `json:"appid"`
	MsgID int64             `json:"msg_id,omitempty"`
}

// rule is a fault at work.
type rule struct {
	simulator.Fault

	ID    int      `json:"id"`
	Hits  int      `json:"hits"`
	Delay duration `json:"delay"`
}

func (a api) faults(ctx context.Context) ([]rule, error) {
	var in struct{ Faults []rule }
	err := a.call(ctx, http.MethodGet, "faults", nil, &in)
	for i, r := range in.Faults {
		in.Faults[i].Fault.Delay = time.Duration(r.Delay)
	}
	return in.Faults, err
}

// inject adds a fault.
func (a api) inject(ctx context.Context, f simulator.Fault) error {
	in := struct {
		simulator.Fault

		Delay duration `json:"delay"`
	}{f, duration(f.Delay)}
	return a.call(ctx, http.MethodPost, "faults", in, nil)
}

// event is a request both ways, with what its receiver looks at.
type event struct {
	simulator.Event

	Number uint64    `json:"number"`
	At     time.Time `json:"at"`
	Checks []check   `json:"checks"`
}

// events returns what came after the event with a number, and waits for it.
func (a api) events(ctx context.Context, after uint64, wait time.Duration) ([]event, error) {
	var in struct{ Events []event }
	err := a.call(ctx, http.MethodGet, fmt.Sprintf("events?after=%d&wait=%s", after, wait), nil, &in)
	return in.Events, err
}
