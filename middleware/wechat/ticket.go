package wechat

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
)

// Ticket returns the live ticket of a type, as [Client.Token] does the token:
// platform.JSAPITicket, for which there is [Client.JSConfig], or
// platform.CardTicket. Tickets are kept in the same store as the token, or by the
// gateway. The first call for a type begins to keep it; until then nothing of it
// exists.
//
// A ticket is a secret: pages get what it has signed, never the ticket.
func (c *Client) Ticket(ctx context.Context, kind platform.TicketType) (custody.Token, error) {
	if c.source != nil {
		if _, err := platform.ParseTicketType(string(kind)); err != nil {
			return custody.Token{}, fmt.Errorf("wechat: %w", err)
		}
		return c.source.Ticket(ctx, string(kind))
	}
	keeper, err := c.tickets.keeper(kind)
	if err != nil {
		return custody.Token{}, err
	}
	return keeper.Token(ctx)
}

// RejectTicket says that a page found a ticket invalid and returns the one to use
// instead: the newer one if another process has fetched it already, else a new one,
// fetched once for all. Look for another cause first: most invalid signatures come from
// the page's URL, or from its domain (JS接口安全域名), and WeChat allows few fetches of
// tickets. An error that wraps [custody.ErrRefused] says that there is no other one now.
func (c *Client) RejectTicket(ctx context.Context, kind platform.TicketType, refused string) (custody.Token, error) {
	if c.source != nil {
		if _, err := platform.ParseTicketType(string(kind)); err != nil {
			return custody.Token{}, fmt.Errorf("wechat: %w", err)
		}
		return c.source.RejectTicket(ctx, string(kind), refused)
	}
	keeper, err := c.tickets.keeper(kind)
	if err != nil {
		return custody.Token{}, err
	}
	return keeper.Reject(ctx, refused)
}

// JSConfig is what a page gives to wx.config of the JS-SDK, beside debug and
// jsApiList. Its JSON has the names that wx.config wants. None of it is a secret.
type JSConfig struct {
	AppID     string `json:"appId"`
	Timestamp int64  `json:"timestamp"` // Unix seconds
	NonceStr  string `json:"nonceStr"`
	Signature string `json:"signature"`
}

// JSConfig signs a page for the JS-SDK. pageURL is the page's as the browser has
// it, location.href: with scheme, host and query, not decoded or encoded again;
// what follows # does not count. WeChat takes the signature for this very URL, on
// domains that are entered in the console (JS接口安全域名), and answers "invalid
// signature" in the browser otherwise. An address that no browser has, such as one with
// raw Chinese characters or without a path, is an error that says what differs.
//
// Sign URLs of your own pages, not whatever a request asks for. Errors are those of
// [Client.Ticket], and one for a pageURL that is no page's.
func (c *Client) JSConfig(ctx context.Context, pageURL string) (JSConfig, error) {
	if err := checkPage(pageURL); err != nil {
		return JSConfig{}, err
	}
	ticket, err := c.Ticket(ctx, platform.JSAPITicket)
	if err != nil {
		return JSConfig{}, err
	}
	config := JSConfig{AppID: c.appID, Timestamp: time.Now().Unix(), NonceStr: rand.Text()}
	config.Signature = platform.JSSignature(ticket.Value(), config.NonceStr, config.Timestamp, pageURL)
	return config, nil
}

// checkPage finds the mistakes that a browser would only call an invalid
// signature. It does not quote the URL, which may hold an OAuth code.
func checkPage(pageURL string) error {
	pageURL, _, _ = strings.Cut(pageURL, "#")
	u, err := url.Parse(pageURL)
	switch {
	case err != nil:
		return errors.New("wechat: JSConfig: the page's URL cannot be parsed: give location.href as the browser has it")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return errors.New("wechat: JSConfig: the page's URL must begin with https:// or http:// and a host: a path alone is not what the browser has")
	case u.User != nil:
		return errors.New("wechat: JSConfig: the page's URL holds a user name, which location.href never does")
	}
	if text := unlike(pageURL, u); text != "" {
		return errors.New("wechat: JSConfig: the page's URL " + text + ": give location.href as the browser has it")
	}
	return nil
}

// unlike returns what no browser's location.href has (https://url.spec.whatwg.org), "" for
// nothing. WeChat hashes the address as it stands, so each such difference is an invalid
// signature.
func unlike(pageURL string, u *url.URL) string {
	dots := func(path string) bool {
		return slices.ContainsFunc(strings.Split(strings.ToLower(path), "/"), func(segment string) bool {
			segment = strings.ReplaceAll(segment, "%2e", ".")
			return segment == "." || segment == ".."
		})
	}
	port := u.Port()
	switch {
	case !strings.HasPrefix(pageURL, u.Scheme+"://") || strings.ToLower(u.Host) != u.Host:
		return "has capital letters in its scheme or host, which a browser makes small"
	case u.Path == "":
		return "has no path, where a browser puts a slash after the host"
	case strings.HasSuffix(u.Host, ":"), u.Scheme == "https" && port == "443", u.Scheme == "http" && port == "80":
		return "has the port that its scheme has anyway, which a browser leaves out"
	case strings.Contains(pageURL, "&amp;"):
		return "has &amp; in it, which is an & as HTML writes it"
	case strings.ContainsFunc(pageURL, func(r rune) bool { return r > '~' }):
		return "has characters in it that a browser encodes, such as 中 as %E4%B8%AD"
	case strings.ContainsAny(pageURL, " \"<>"):
		return `has a space or one of " < > in it, which a browser encodes`
	case strings.Contains(pageURL, `\`):
		return `has a \ in it, which a browser makes a / or encodes`
	case dots(u.EscapedPath()):
		return "has . or .. in its path, which a browser resolves"
	}
	return ""
}

// tickets are the Keepers of an account's tickets, made when they are asked for.
type tickets struct {
	open func(kind platform.TicketType) (*custody.Keeper, error)

	keepers sync.Map // platform.TicketType to *custody.Keeper

	mu     sync.Mutex // taken by whoever adds a Keeper, and by close
	closed bool
}

// keeper takes no lock when there is one.
func (t *tickets) keeper(kind platform.TicketType) (*custody.Keeper, error) {
	if keeper, ok := t.keepers.Load(kind); ok {
		return keeper.(*custody.Keeper), nil
	}
	if _, err := platform.ParseTicketType(string(kind)); err != nil {
		return nil, fmt.Errorf("wechat: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, custody.ErrClosed
	}
	if keeper, ok := t.keepers.Load(kind); ok {
		return keeper.(*custody.Keeper), nil
	}
	keeper, err := t.open(kind)
	if err != nil {
		return nil, fmt.Errorf("wechat: %w", err)
	}
	t.keepers.Store(kind, keeper)
	return keeper, nil
}

// close ends the Keepers at the same time; there will be no further one.
func (t *tickets) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	var all sync.WaitGroup
	t.keepers.Range(func(_, keeper any) bool {
		all.Go(func() { _ = keeper.(*custody.Keeper).Close() }) // its error is nil, as of all Keepers
		return true
	})
	all.Wait()
}
