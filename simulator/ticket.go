package simulator

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"time"
)

// TicketType says what a ticket is for.
type TicketType string

// The types of tickets.
const (
	JSAPI TicketType = "jsapi"   // the JS-SDK
	Card  TicketType = "wx_card" // cards and coupons
)

// ticketLength is what was seen of WeChat's.
const ticketLength = 86

// ticket is the ticket of an account and type. The account's mutex guards it.
type ticket struct {
	random *rand.ChaCha8
	value  string
	end    time.Time
	stats  PoolStats
}

func newTickets(a *account) map[TicketType]*ticket {
	all := map[TicketType]*ticket{}
	for _, t := range []TicketType{JSAPI, Card} {
		all[t] = &ticket{random: source(a.sim.options.Seed, a.appid, string(t))}
	}
	return all
}

// serveTicket carries out GET /cgi-bin/ticket/getticket: the ticket that lives
// already, whose life begins anew, or a new one.
func serveTicket(c *call) answer {
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tickets[TicketType(c.query.Get("type"))]
	if t == nil {
		return c.refuse(invalidParameter)
	}
	t.stats.Calls++
	if t.value == "" || !c.now.Before(t.end) {
		t.stats.Issued++
		t.value = makeTicket(t.random)
	}
	t.end = c.now.Add(c.sim.options.Life)
	return ok(fmt.Sprintf(`{"errcode":0,"errmsg":"ok","ticket":"%s","expires_in":%d}`, t.value, seconds(c.sim.options.Life)))
}

func makeTicket(random *rand.ChaCha8) string {
	b := make([]byte, ticketLength*3/4+1)
	_, _ = random.Read(b) // never fails, by its documentation
	return base64.RawURLEncoding.EncodeToString(b)[:ticketLength]
}

// Ticket returns the ticket that lives now, and how long; "" when none does. Of a WeCom app
// JSAPI is the corp's, and "agent_config" the app's own.
func (s *Simulator) Ticket(appid string, t TicketType) (value string, left time.Duration) {
	a, now := s.find(appid), s.Clock.Now()
	if a.corp != nil {
		return a.corp.ticket(a.appid, t, now) // which locks the corp before its apps
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := a.tickets[t]; at != nil && now.Before(at.end) {
		return at.value, at.end.Sub(now)
	}
	return "", 0
}

// KillTicket ends the life of a ticket: the next fetch gets a new one.
func (s *Simulator) KillTicket(appid string, t TicketType) {
	a := s.find(appid)
	if a.corp != nil {
		a.corp.kill(a.appid, t)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := a.tickets[t]; at != nil {
		at.end = time.Time{}
	}
}
