package gateway

import (
	"math"
	"time"
)

const (
	bucketTime = 15 * time.Minute // of one bar on the page
	buckets    = int(24 * time.Hour / bucketTime)
)

// Bucket is what a gateway saw of an account's token in a quarter of an hour.
type Bucket struct {
	Start    time.Time // of the quarter
	Renewals int       // the token became another one, whichever gateway renewed it
	Refusals int       // WeChat refused the token; each call that met it counts
	Failures int       // this gateway tried to renew it, and could not
}

// moment is what a history counts.
type moment int

const (
	momentRenewal moment = iota
	momentRefusal
	momentFailure
	moments
)

// history counts the moments of 24 hours, in 600 bytes. A count that would be
// over 65,535 stays there.
type history struct {
	last   int64 // the latest quarter of which anything is known, in quarters since 1970
	counts [buckets][moments]uint16
}

func quarter(t time.Time) int64 { return t.Unix() / int64(bucketTime/time.Second) }

// turn makes the present quarter the last. A clock that was set back adds to the
// quarter that was the last already.
func (h *history) turn(now time.Time) {
	present := quarter(now)
	for q := max(h.last+1, present-int64(buckets)+1); q <= present; q++ {
		h.counts[q%int64(buckets)] = [moments]uint16{}
	}
	h.last = max(h.last, present)
}

func (h *history) add(m moment, now time.Time) {
	h.turn(now)
	if c := &h.counts[h.last%int64(buckets)][m]; *c < math.MaxUint16 {
		*c++
	}
}

// at returns the quarters up to now.
func (h *history) at(now time.Time) []Bucket {
	h.turn(now)
	list := make([]Bucket, buckets)
	for i := range list {
		q := h.last - int64(buckets-1-i)
		c := h.counts[q%int64(buckets)]
		list[i] = Bucket{
			Start:    time.Unix(q*int64(bucketTime/time.Second), 0),
			Renewals: int(c[momentRenewal]), Refusals: int(c[momentRefusal]), Failures: int(c[momentFailure]),
		}
	}
	return list
}
