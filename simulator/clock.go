package simulator

import (
	"sync/atomic"
	"time"
)

// Clock is the real time plus what was added by Advance: the time by which
// tokens, tickets, media and quotas age. The zero value shows the real time.
// Inside a testing/synctest bubble the real time is the bubble's, so that sleeping
// and advancing both age a token; a Simulator that is used in a bubble belongs
// there from New on.
//
// Whatever somebody else compares with his own clock stays real: the times inside
// of rids and pushes and the Date of answers, which only Options.Skew moves, the
// delays of faults and the latencies of events.
type Clock struct {
	offset atomic.Int64
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	return time.Now().Add(time.Duration(c.offset.Load()))
}

// Advance moves the clock on by d. It panics when d is negative: no token
// becomes younger.
func (c *Clock) Advance(d time.Duration) {
	if d < 0 {
		panic("simulator: Clock.Advance by a negative duration")
	}
	c.offset.Add(int64(d))
}

// beijing is where WeChat's days and months change.
var beijing = time.FixedZone("UTC+8", 8*60*60)

func day(t time.Time) int64 {
	_, offset := t.In(beijing).Zone()
	return (t.Unix() + int64(offset)) / 86400
}

func minute(t time.Time) int64 { return t.Unix() / 60 }

func month(t time.Time) int64 {
	t = t.In(beijing)
	return int64(t.Year())*12 + int64(t.Month())
}
