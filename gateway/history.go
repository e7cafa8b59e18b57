package gateway

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	bucketTime = 15 * time.Minute // of one bar on the page
	buckets    = int(24 * time.Hour / bucketTime)
)

// Bucket is what a gateway saw of an account in a quarter of an hour: of the calls about
// it, and of its token.
type Bucket struct {
	Start    time.Time // of the quarter
	Calls    int       // that were answered, those of Errors among them
	Errors   int       // that were answered with an errcode, whoever said it
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

// traffic counts the calls of 24 hours, in 800 bytes. Every call adds to it, so it is not
// locked but when a quarter begins.
type traffic struct {
	mu            sync.Mutex   // held while a quarter becomes the last
	last          atomic.Int64 // in quarters since 1970
	calls, errors [buckets]atomic.Uint32
}

// turn makes the present quarter the last, as a history does, and returns the last.
func (t *traffic) turn(now time.Time) int64 {
	present := quarter(now)
	if last := t.last.Load(); last >= present {
		return last
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.last.Load()
	for q := max(last+1, present-int64(buckets)+1); q <= present; q++ {
		t.calls[q%int64(buckets)].Store(0)
		t.errors[q%int64(buckets)].Store(0)
	}
	t.last.Store(max(last, present))
	return t.last.Load()
}

func (t *traffic) add(failed bool, now time.Time) {
	at := t.turn(now) % int64(buckets)
	t.calls[at].Add(1)
	if failed {
		t.errors[at].Add(1)
	}
}

// addTo fills in the calls of the quarters up to now.
func (t *traffic) addTo(list []Bucket, now time.Time) {
	last := t.turn(now)
	for i := range list {
		at := (last - int64(len(list)-1-i)) % int64(buckets)
		list[i].Calls, list[i].Errors = int(t.calls[at].Load()), int(t.errors[at].Load())
	}
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
