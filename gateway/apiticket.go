package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
)

// rejectEvery is how often programs can have a ticket renewed that lives, of an account
// and type, at this gateway. No API of WeChat takes a ticket, so nobody can be asked
// whether it is valid, and WeChat allows very few fetches a day, without a number.
const rejectEvery = 10 * time.Minute

// lookTimeout is how long the store may take to tell of a ticket.
const lookTimeout = 2 * time.Second

// ticketOf returns the type of ticket that a call of the gateway's own API is about.
func ticketOf(r *http.Request, c caller) (platform.TicketType, *refusal) {
	if !c.Allows(ticketPath) {
		return "", refuse(codeNotAllowed, "the path of tickets is not one of the client's")
	}
	t, err := platform.ParseTicketType(r.PathValue("type"))
	if err != nil {
		return "", refuse(codeParameter, "there is no such type of ticket: it is jsapi or wx_card")
	}
	return t, nil
}

// readTicket reads a body that names a ticket; expected is what the caller sees otherwise.
func readTicket(r *http.Request, expected string) (string, *refusal) {
	var q struct {
		Ticket string `json:"ticket"`
	}
	refused := readBody(r, &q)
	if refused == nil && q.Ticket == "" {
		refused = refuse(codeFormat, "the body names no ticket")
	}
	if refused != nil && refused.code == codeFormat {
		refused.text = "the body has to be " + expected
	}
	return q.Ticket, refused
}

func giveTicket(w *observed, c caller, t platform.TicketType, ticket custody.Token) {
	writeJSONLine(w, map[string]any{
		"appid": c.account.AppID, "type": t, "ticket": ticket.Value(), "expires_in": int64(ticket.Left() / time.Second),
	})
}

func (p *programs) apiTicket(w *observed, r *http.Request, c caller) *refusal {
	t, refused := ticketOf(r, c)
	if refused != nil {
		return refused
	}
	ctx, cancel := context.WithTimeout(r.Context(), waitForToken)
	defer cancel()
	ticket, err := p.current(c.account.AppID).ticket(ctx, t)
	if err != nil {
		return noToken(err)
	}
	giveTicket(w, c, t, ticket)
	return nil
}

// apiRejectTicket receives a ticket that a page found invalid, and answers the one to
// use instead. A ticket that is not the current one any more leads to no fetch.
func (p *programs) apiRejectTicket(w *observed, r *http.Request, c caller) *refusal {
	t, refused := ticketOf(r, c)
	if refused != nil {
		return refused
	}
	q, refused := readTicket(r, `{"ticket":"the ticket that a page found invalid"}`)
	if refused != nil {
		return refused
	}
	ctx, cancel := context.WithTimeout(r.Context(), waitForToken)
	defer cancel()
	ticket, err := p.current(c.account.AppID).ticket(ctx, t)
	if err != nil {
		return noToken(err)
	}
	if ticket.Value() == q {
		if ticket, refused = p.renewTicket(ctx, c, t, ticket); refused != nil {
			return refused
		}
	}
	giveTicket(w, c, t, ticket)
	return nil
}

// renewTicket has the current ticket renewed, once the journal says so.
func (p *programs) renewTicket(ctx context.Context, c caller, t platform.TicketType, ticket custody.Token) (custody.Token, *refusal) {
	a := c.account
	same := func(wait time.Duration, why string) *refusal {
		refused := refuse(codeAccepted, "%s", why)
		refused.retry = wait
		refused.text = "there is no other ticket to be had now: " + why +
			". Look at the page's URL and at the account's JS接口安全域名 as well"
		return refused
	}
	wait := a.mayRenew(t, time.Now())
	if wait > 0 && !p.hasOther(ctx, a, t, ticket) {
		return custody.Token{}, same(wait, "it was renewed a moment ago, and WeChat allows few fetches of tickets")
	}
	if refused := p.note(ctx, "client "+c.Name, "reject ticket", a.AppID, string(t)); refused != nil {
		return custody.Token{}, refused
	}
	next, err := p.current(a.AppID).rejectTicket(ctx, t, ticket.Value())
	switch {
	case errors.Is(err, custody.ErrRefused), err == nil && next.Value() == ticket.Value():
		return custody.Token{}, same(
			max(retryAfter(err), a.mayRenew(t, time.Now())),
			"WeChat answers the same ticket again, so it is the valid one",
		)
	case err != nil:
		a.renewedTicket(t, time.Time{}) // nothing came of it
		return custody.Token{}, noToken(err)
	}
	return next, nil
}

// hasOther reports whether the store has another ticket, which another gateway fetched:
// a Reject takes that one, and costs no fetch.
func (p *programs) hasOther(ctx context.Context, a *account, t platform.TicketType, ticket custody.Token) bool {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	record, err := p.accounts.cfg.Store.Load(ctx, p.accounts.ticketKey(a, t))
	return err == nil && record.Value != "" && record.Fence > ticket.Fence()
}

// mayRenew returns how long a program has to wait that wants a living ticket renewed; 0
// means that it is the one who may, now.
func (a *account) mayRenew(t platform.TicketType, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if wait := a.rejected[t].Add(rejectEvery).Sub(now); wait > 0 {
		return wait
	}
	if a.rejected == nil {
		a.rejected = map[platform.TicketType]time.Time{}
	}
	a.rejected[t] = now
	return 0
}

// renewedTicket remembers when a program last had a living ticket renewed.
func (a *account) renewedTicket(t platform.TicketType, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rejected[t] = at
}
