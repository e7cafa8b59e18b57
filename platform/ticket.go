package platform

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/zhongkong-go/zhongkong/custody"
)

const ticketPath = "/cgi-bin/ticket/getticket"

// TicketType is what a ticket is good for, by WeChat's name.
type TicketType string

// The types of tickets.
const (
	JSAPITicket TicketType = "jsapi"   // for pages that use the JS-SDK: JSSignature
	CardTicket  TicketType = "wx_card" // for cards: callback.Signature over the ticket and the other values
)

// ParseTicketType reads "jsapi" or "wx_card".
func ParseTicketType(text string) (TicketType, error) {
	switch t := TicketType(text); t {
	case JSAPITicket, CardTicket:
		return t, nil
	default:
		return "", fmt.Errorf("platform: there is no ticket of type %q: it is %q or %q", text, JSAPITicket, CardTicket)
	}
}

// TicketKey returns the name under which every process that reaches this API
// keeps that ticket of appID: its kind is "jsapi_ticket" or "wx_card_ticket". It
// does not say by which token API the ticket was fetched, as tickets belong to the
// account.
func (a *API) TicketKey(appID string, t TicketType) custody.Key {
	return custody.Key{Kind: string(t) + "_ticket", AppID: appID, Host: a.Host()}
}

// Ticket returns a ticket of appID as a kind of credential that a
// [custody.Keeper] keeps; api.TicketKey names it. tokens, the Keeper of the same
// account's access_token, gives what it is fetched with: the token is waited for
// before the ticket's lease is taken, and when WeChat refuses it (40001, 40014,
// 42001), it is renewed and the fetch repeated once.
//
// WeChat: a ticket lives for 7,200 s and is fetched "very" few times a day, without
// a number; DailyFetches is 500 here, of which about 12 are used. That a fetch
// answers the ticket that lives, and leaves it alive, is what users report; no
// document says so. Hence the kind is not Idempotent: after a fetch whose answer was
// lost, the ticket in use is trusted for the overlap alone.
//
// No API takes a ticket, so there is no Probe: a refusal shows in browsers only.
func (a *API) Ticket(tokens Tokens, appID string, t TicketType) custody.Kind {
	return custody.Kind{
		Prepare: func(ctx context.Context) error {
			if _, err := ParseTicketType(string(t)); err != nil {
				return &custody.FetchError{Class: custody.ClassFatal, Err: err}
			}
			return Ready(ctx, tokens)
		},
		Fetch: func(ctx context.Context, _ custody.Mode) (custody.Grant, error) {
			return a.CredentialBy(ctx, tokens, Issue{
				Account: appID, Path: ticketPath, Query: url.Values{"type": {string(t)}}, Name: "ticket",
			})
		},
		DailyFetches: 500,
	}
}

// JSSignature returns the signature with which a page configures the JS-SDK
// (wx.config): the SHA-1, in lower-case hexadecimal, of the four pairs. timestamp is
// in Unix seconds. pageURL is the page's, as the browser has it, with its query and
// without # and what follows; nothing in it is escaped or unescaped.
//
// WeChat: JS-SDK 说明文档, 附录1.
func JSSignature(ticket, nonceStr string, timestamp int64, pageURL string) string {
	pageURL, _, _ = strings.Cut(pageURL, "#")
	sum := sha1.Sum([]byte("jsapi_ticket=" + ticket + "&noncestr=" + nonceStr +
		"&timestamp=" + strconv.FormatInt(timestamp, 10) + "&url=" + pageURL))
	return hex.EncodeToString(sum[:])
}
