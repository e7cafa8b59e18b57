package wechat

import (
	"context"
	"fmt"

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
	keeper, err := c.tickets.Keeper(kind)
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
	keeper, err := c.tickets.Keeper(kind)
	if err != nil {
		return custody.Token{}, err
	}
	return keeper.Reject(ctx, refused)
}

// JSConfig is what a page gives to wx.config of the JS-SDK, next to debug and
// jsApiList. Its JSON has the names that wx.config wants. None of it is a secret.
type JSConfig = platform.JSConfig

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
	if err := platform.CheckPage(pageURL); err != nil {
		return JSConfig{}, fmt.Errorf("wechat: JSConfig: %w", err)
	}
	ticket, err := c.Ticket(ctx, platform.JSAPITicket)
	if err != nil {
		return JSConfig{}, err
	}
	return platform.NewJSConfig(c.appID, ticket.Value(), pageURL), nil
}
