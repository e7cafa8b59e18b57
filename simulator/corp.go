package simulator

import (
	"sync"
	"time"
)

// WeCom's limits, which count by minute and hour (企业微信 访问频率限制).
const (
	corpMinute   = 10_000 // of an API, for a corp
	corpHour     = 150_000
	corpTickets  = 400 // of tickets an hour, for a corp
	agentTickets = 100 // and for an app
	corpFaulty   = 2_000
)

// corp is what the apps of one corp share.
type corp struct {
	id string

	mu      sync.Mutex
	calls   map[string]*corpCalls // by path, or by path and app
	faulty  counter               // calls of gettoken, by the hour
	until   time.Time             // gettoken is blocked because of them
	tickets map[string]*ticket    // "" is the corp's own, the others are of apps
}

// corpCalls counts the calls of an API.
type corpCalls struct {
	minute, hour counter
	until        time.Time // it is blocked
}

// over counts a call, and reports whether it is one too many: then the API is blocked for
// a minute or an hour.
func (c *corpCalls) over(now time.Time, perMinute, perHour int) bool {
	if now.Before(c.until) {
		return true
	}
	switch {
	case perHour > 0 && c.hour.in(now.Unix()/3600) >= perHour:
		c.until = now.Add(time.Hour)
	case perMinute > 0 && c.minute.in(minute(now)) >= perMinute:
		c.until = now.Add(time.Minute)
	default:
		c.minute.add(minute(now))
		c.hour.add(now.Unix() / 3600)
		return false
	}
	return true
}

// of returns the count of a path.
func (c *corp) of(name string) *corpCalls {
	calls := c.calls[name]
	if calls == nil {
		calls = new(corpCalls)
		c.calls[name] = calls
	}
	return calls
}

// named returns the ticket of a type. The corp's mutex is held.
func (c *corp) named(appid string, t TicketType) *ticket {
	if t == JSAPI {
		appid = ""
	}
	return c.tickets[appid]
}

func (c *corp) ticket(appid string, t TicketType, now time.Time) (value string, left time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.named(appid, t); now.Before(at.end) {
		return at.value, at.end.Sub(now)
	}
	return "", 0
}

func (c *corp) kill(appid string, t TicketType) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.named(appid, t).end = time.Time{}
}
