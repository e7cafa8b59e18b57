package simulator

import (
	"sync/atomic"
	"time"
)

// Clock is the real time plus what was added by Advance. The zero value shows
// the real time. Inside a testing/synctest bubble the real time is the bubble's,
// so that sleeping and advancing both age a token; a Simulator that is used in a
// bubble belongs there from New on.
//
// Delays of faults and latencies of events are spans of real time: Advance does
// not shorten them.
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

// beijing is where WeChat's days change.
const beijing = 8 * time.Hour

func day(t time.Time) int64    { return t.Add(beijing).Unix() / 86400 }
func minute(t time.Time) int64 { return t.Unix() / 60 }
