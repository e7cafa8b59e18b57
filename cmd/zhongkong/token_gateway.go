package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/source"
	"github.com/zhongkong-go/zhongkong/internal/environ"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/network"
	"github.com/zhongkong-go/zhongkong/internal/shape"
)

// remote is the account of a program that takes its token from a gateway.
type remote struct {
	cfg environ.Account
}

// viaSource returns the account of the environment where ZHONGKONG_GATEWAY is set, nil
// where it is not.
func viaSource(t *terminal) (*remote, error) {
	if address, _ := t.env("ZHONGKONG_GATEWAY"); strings.TrimSpace(address) == "" {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	cfg, err := environ.Checked(func(name string) string {
		value, _ := t.env(name)
		return value
	})
	if err != nil {
		return nil, mistake("%v", err)
	}
	return &remote{cfg}, nil
}

// get does something with the token that the gateway gives the client.
func (r *remote) get(ctx context.Context, t *terminal, wait time.Duration, do func(custody.Token) error) error {
	waiting := waitFor(t, "the gateway and a token")
	defer waiting.end()
	transport, err := network.ToGateway(r.cfg.GatewayCA)
	if err != nil {
		return mistake("ZHONGKONG_GATEWAY_CA: %w", err)
	}
	defer transport.CloseIdleConnections()
	src, err := source.New(source.Config{
		Gateway: r.cfg.Gateway, Key: r.cfg.GatewayKey, AppID: r.cfg.AppID, Transport: transport, Timing: r.cfg.Timing, Logger: slog.New(waiting),
	})
	if err != nil {
		return mistake("%s", named.Plain(err).Error())
	}
	defer func() { _ = src.Close() }()
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	token, err := src.Token(limited)
	waiting.end()
	if err != nil {
		return failure(ctx, err)
	}
	return do(token)
}

// status asks the gateways, one after the other, how the token is. None is handed out.
func (r *remote) status(ctx context.Context, t *terminal, asJSON bool) error {
	transport, err := network.ToGateway(r.cfg.GatewayCA)
	if err != nil {
		return mistake("ZHONGKONG_GATEWAY_CA: %w", err)
	}
	defer transport.CloseIdleConnections()
	var failed error
	for address := range strings.SplitSeq(r.cfg.Gateway, ",") {
		address = strings.TrimRight(strings.TrimSpace(address), "/")
		if address == "" {
			continue
		}
		accounts, err := ask(ctx, transport, address, r.cfg.GatewayKey)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if asJSON {
			return r.json(t, address, accounts)
		}
		return r.show(t, address, accounts)
	}
	if asJSON {
		return (&statusJSON{AppID: r.cfg.AppID, Place: r.cfg.Gateway}).end(t, failed)
	}
	return failed
}

// gatewayAccount is what a gateway says of an account.
type gatewayAccount struct {
	Name      string `json:"name"`
	AppID     string `json:"appid"`
	Live      bool   `json:"live"`
	ExpiresIn int64  `json:"expires_in"`
	Fence     int64  `json:"fence"`
}

func (r *remote) show(t *terminal, address string, accounts []gatewayAccount) error {
	for _, a := range accounts {
		if a.AppID != r.cfg.AppID {
			continue
		}
		t.say("%s %s", t.tick(a.Live), t.bold(both(shape.Shown(a.Name), "access_token of "+a.AppID)))
		if !a.Live {
			t.say("%s", t.dim(t.T("at %s", address)))
			return errNotLive
		}
		t.say("  lives for %s", lasting(time.Duration(a.ExpiresIn)*time.Second))
		t.say("  renewal %d", a.Fence)
		t.say("%s", t.dim(t.T("at %s", address)))
		return nil
	}
	return r.unknown(address)
}

// errNotLive is for an account without a token.
var errNotLive = errors.New("the gateway has no live token: its log, and zhongkong token status --config FILE on its machine, say why")

// unknown is for an account that the client may not use.
func (r *remote) unknown(address string) error {
	return fmt.Errorf("the gateway %s has no account %s for this client: zhongkong client list on its machine shows which it may use", address, r.cfg.AppID)
}

// json is show for programs.
func (r *remote) json(t *terminal, address string, accounts []gatewayAccount) error {
	out := &statusJSON{AppID: r.cfg.AppID, Place: address}
	problem := r.unknown(address)
	for _, a := range accounts {
		if a.AppID != r.cfg.AppID {
			continue
		}
		problem, out.Name = nil, shape.Shown(a.Name)
		if !a.Live {
			problem = errNotLive
		}
		out.Credentials = append(out.Credentials, credentialJSON{
			Name: "access_token/gateway/" + a.AppID, Live: a.Live, ExpiresIn: a.ExpiresIn, Renewal: a.Fence,
		})
	}
	return out.end(t, problem)
}

// ask asks one gateway. Its answer is bounded, and the key goes nowhere else.
func ask(ctx context.Context, rt http.RoundTripper, address string, key custody.Secret) ([]gatewayAccount, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/zhongkong/v1/accounts", http.NoBody)
	if err != nil {
		return nil, errors.New("ZHONGKONG_GATEWAY holds what is no URL: write https://host:8300, several separated by commas")
	}
	request.Header.Set("Authorization", "Bearer "+key.Reveal())
	client := &http.Client{Transport: rt, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(request)
	if err != nil {
		if cause, ok := errors.AsType[*url.Error](err); ok {
			err = cause.Err
		}
		if errors.As(err, new(x509.UnknownAuthorityError)) {
			err = fmt.Errorf("%w. Set ZHONGKONG_GATEWAY_CA to the file of the authority that signed its certificate", err)
		} else if remedy := network.Remedy(err, request.URL.Host, os.Getenv); remedy != "" {
			err = fmt.Errorf("%w. %s", err, remedy)
		}
		return nil, fmt.Errorf("the gateway %s does not answer: %w", address, err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Accounts []gatewayAccount `json:"accounts"`
		Error    string           `json:"error"`
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer)
	switch {
	case answer.Error != "":
		return nil, fmt.Errorf("the gateway %s refuses (HTTP %d): %s", address, resp.StatusCode, printable(answer.Error))
	case err != nil || resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("what answers at %s is no gateway (HTTP %d): look at ZHONGKONG_GATEWAY", address, resp.StatusCode)
	}
	return answer.Accounts, nil
}
