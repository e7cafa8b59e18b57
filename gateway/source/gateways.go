package source

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/network"
	"github.com/zhongkong-go/zhongkong/internal/shape"
)

const (
	apiPath   = "/zhongkong/v1/accounts/"
	maxAnswer = 64 << 10 // bytes that are read: what is longer is from no gateway
)

// gateways are where to ask, and with which key.
type gateways struct {
	bases []*url.URL
	key   custody.Secret
	rt    http.RoundTripper
	idle  func()       // closes kept connections; of a foreign transport, nothing
	last  atomic.Int32 // the one that answered last is asked first
}

// parseBase reads the address of a gateway.
func parseBase(text string) (*url.URL, error) {
	base, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, named.Errorf("source", "Config.Gateway (ZHONGKONG_GATEWAY) holds what is no URL: write https://host:8300, several separated by commas")
	case base.Scheme != "https" && base.Scheme != "http" || base.Hostname() == "":
		return nil, named.Errorf("source", "Config.Gateway (ZHONGKONG_GATEWAY): each address must begin with https:// or http:// and a host")
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, named.Errorf("source", "Config.Gateway (ZHONGKONG_GATEWAY): an address must hold no user name, password, query or fragment: the key goes into ZHONGKONG_GATEWAY_KEY")
	}
	base.Path, base.RawPath = strings.TrimRight(base.Path, "/"), ""
	if strings.HasSuffix(base.Path, "/cgi-bin") {
		return nil, named.Errorf("source", "Config.Gateway (ZHONGKONG_GATEWAY): an address must not end in /cgi-bin: take it away")
	}
	return base, nil
}

func newGateways(cfg Config) (*gateways, error) {
	g := &gateways{key: cfg.Key, rt: cfg.Transport, idle: func() {}}
	for text := range strings.SplitSeq(cfg.Gateway, ",") {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		base, err := parseBase(text)
		if err != nil {
			return nil, err
		}
		if ip := net.ParseIP(base.Hostname()); base.Scheme == "http" && base.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			cfg.Logger.Warn("the gateway is reached in plain HTTP: whoever reads along has the key and the token",
				"log_code", "source_gateway_plain_http", "gateway", base.String(), "appid", cfg.AppID)
		}
		g.bases = append(g.bases, base)
	}
	err := shape.Check(
		shape.Field{Name: "Config.AppID (WECHAT_APPID)", Kind: shape.AppID, Value: cfg.AppID},
		shape.Field{Name: "Config.Key (ZHONGKONG_GATEWAY_KEY)", Kind: shape.ClientKey, Value: cfg.Key.Reveal()},
	)
	switch {
	case err != nil:
		return nil, named.Errorf("source", "%w", err)
	case len(g.bases) == 0:
		return nil, named.Errorf("source", "Config.Gateway (ZHONGKONG_GATEWAY) is empty: it is the gateway's address, such as https://zhongkong:8300")
	case cfg.Key.IsZero():
		return nil, named.Errorf("source", "Config.Key (ZHONGKONG_GATEWAY_KEY) is empty: it is the client's key, which zhongkong client add prints")
	case strings.ContainsFunc(cfg.Key.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, named.Errorf("source", "Config.Key (ZHONGKONG_GATEWAY_KEY) holds white space or other characters that no key has: copy it again")
	}
	if g.rt == nil {
		own, err := network.ToGateway("")
		if err != nil {
			return nil, err
		}
		g.rt, g.idle = own, own.CloseIdleConnections
	}
	return g, nil
}

// inTurn calls try for each gateway, the one that answered last first, until one says
// that it is enough.
func (g *gateways) inTurn(try func(base *url.URL, left int) (enough bool)) {
	first := int(g.last.Load())
	for i := range g.bases {
		at := (first + i) % len(g.bases)
		if try(g.bases[at], len(g.bases)-i) {
			g.last.Store(int32(at))
			return
		}
	}
}

// refusal is a gateway's answer that is none of what was asked for.
type refusal struct {
	gateway string
	status  int

	Text       string        `json:"error"`
	Errcode    int           `json:"errcode"`
	Class      custody.Class `json:"class"`
	RetryAfter int64         `json:"retry_after"`
	RID        string        `json:"rid"`
}

func (r *refusal) Error() string {
	text := fmt.Sprintf("the gateway %s refuses (HTTP %d", r.gateway, r.status)
	if r.Errcode != 0 {
		text += fmt.Sprintf(", errcode %d", r.Errcode)
	}
	text += ")"
	switch r.status {
	case http.StatusUnauthorized:
		text += ": the gateway refuses this program's key (ZHONGKONG_GATEWAY_KEY, Config.Key): it is wrong, revoked or expired; its operator makes another one with zhongkong client add or client rotate"
	case http.StatusForbidden:
		text += ": the client may not use this account, or the gateway does not have it; its operator sees it in zhongkong client list"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		text += ": is it a gateway (zhongkong serve), and of a version that has this API?"
	default:
		if r.Text != "" {
			text += ": " + r.Text
		}
	}
	if r.RID != "" {
		text += ", rid " + r.RID
	}
	return text
}

// passing reports whether another gateway, or the same one in a moment, may say
// something else.
func (r *refusal) passing() bool {
	return r.status >= http.StatusInternalServerError || r.status == http.StatusTooManyRequests
}

// failure says what it means that there was no answer but err.
func failure(err error) *custody.FetchError {
	const again = time.Minute // without callers; those ask each second
	f := &custody.FetchError{Class: custody.ClassTransient, Err: err}
	var r *refusal
	if !errors.As(err, &r) {
		return f
	}
	f.Code = r.Errcode
	if r.status == http.StatusTooManyRequests || r.passing() && (r.Class == custody.ClassTransient || r.Class == "") {
		return f
	}
	f.Class, f.RetryAfter = custody.ClassBlocked, again
	if wait := time.Duration(r.RetryAfter) * time.Second; wait > 0 && wait < again {
		f.RetryAfter = wait
	}
	return f
}

// ask calls the gateways in turn and decodes the answer of the first one that gives
// one into out. Its error tells of each that was asked.
func (g *gateways) ask(ctx context.Context, method, path string, body []byte, out any) error {
	var errs []error
	g.inTurn(func(base *url.URL, left int) bool {
		if ctx.Err() != nil {
			return false
		}
		part, cancel := ctx, context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok {
			part, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		}
		defer cancel()
		err := g.askOne(part, base, call{method, path, body}, out)
		if err == nil {
			errs = nil
			return true
		}
		errs = append(errs, err)
		var r *refusal
		return errors.As(err, &r) && !r.passing()
	})
	if len(errs) == 0 {
		return ctx.Err() // nil after an answer
	}
	return together(errs)
}

// together is one error of several gateways, in one line.
func together(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return &several{errs}
}

type several struct{ errs []error }

func (s *several) Error() string {
	texts := make([]string, len(s.errs))
	for i, err := range s.errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (s *several) Unwrap() []error { return s.errs }

// call is a call of the gateway's API.
type call struct {
	method, path string
	body         []byte
}

// askOne decodes the answer of the gateway base into out.
func (g *gateways) askOne(ctx context.Context, base *url.URL, c call, out any) error {
	resp, err := g.send(ctx, base, c.method, c.path, c.body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return noAnswer(base, err)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("the gateway %s answered something that is not JSON: is it a gateway?", base)
	}
	return nil
}

// send sends a request with the key, and returns an answer with the status 200.
// Redirects are not followed: the key is for the gateway alone.
func (g *gateways) send(ctx context.Context, base *url.URL, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, base.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("the gateway %s cannot be asked: %w", base, err)
	}
	req.Header.Set("Authorization", "Bearer "+g.key.Reveal())
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := g.rt.RoundTrip(req)
	if err != nil {
		return nil, noAnswer(base, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	r := &refusal{gateway: base.String(), status: resp.StatusCode}
	if text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); err == nil {
		_ = json.Unmarshal(text, r) // what is none says nothing
	}
	return nil, r
}

func noAnswer(base *url.URL, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the gateway %s does not answer", base)
	}
	remedy := network.Remedy(err, base.Host, os.Getenv)
	if errors.As(err, new(x509.UnknownAuthorityError)) {
		remedy = "This machine does not know the authority that signed the gateway's certificate: set ZHONGKONG_GATEWAY_CA (Config.GatewayCA) to the file of that authority, or of the certificate itself if it signed itself"
	}
	if remedy != "" {
		remedy = ". " + remedy
	}
	return fmt.Errorf("the gateway %s cannot be reached: %w%s", base, err, remedy)
}
