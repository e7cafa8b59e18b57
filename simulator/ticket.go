package simulator

import (
	"encoding/base64"
	"math/rand/v2"
	"time"
)

// TicketType says what a ticket is for, to look one up or to end it.
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
		all[t] = &ticket{random: source(a.world.options.Seed, a.appid, string(t))}
	}
	return all
}

func makeTicket(random *rand.ChaCha8) string {
	b := make([]byte, ticketLength*3/4+1)
	_, _ = random.Read(b) // never fails, by its documentation
	return base64.RawURLEncoding.EncodeToString(b)[:ticketLength]
}
