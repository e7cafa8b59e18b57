package simulator

import "time"

// WeChat's own limits.
const (
	dailyFetches = 2000
	dailyStable  = 500_000
	minuteStable = 10_000
	dailyForced  = 20
)

// limit reads a limit of Account: 0 means WeChat's own, and a negative number,
// like none of WeChat's own, means no limit.
func limit(configured, wechat int) int {
	if configured == 0 {
		return wechat
	}
	return configured
}

// counter counts within one slot of time and starts over in the next.
type counter struct {
	slot int64
	n    int
}

func (c *counter) in(slot int64) int {
	if c.slot != slot {
		return 0
	}
	return c.n
}

func (c *counter) add(slot int64) {
	c.n = c.in(slot) + 1
	c.slot = slot
}

// quota is how often an endpoint was used this minute and today.
type quota struct {
	minute, day counter
}

// refusal returns the errcode of the limit that is reached, or 0.
func (q *quota) refusal(now time.Time, perMinute, perDay int) int {
	if perMinute > 0 && q.minute.in(minute(now)) >= perMinute {
		return minuteLimit
	}
	if perDay > 0 && q.day.in(day(now)) >= perDay {
		return dailyLimit
	}
	return 0
}

func (q *quota) use(now time.Time) {
	q.minute.add(minute(now))
	q.day.add(day(now))
}
