package custody

import (
	"math/rand/v2"
	"time"
)

const (
	maxMargin = 20 * time.Second // what is taken off a token's end
	maxWindow = 5 * time.Minute  // the time before the end in which stable_token gives a new one
	maxDrift  = 30 * time.Second // wall time ahead of monotonic time: the machine slept
)

const (
	minLife = time.Second        // of a value; WeChat says 7200 s
	maxLife = 7 * 24 * time.Hour // a Grant with a longer one is refused; what a store says is cut to it
)

// held is a credential as a Keeper holds it: immutable, so that readers need
// one atomic load. Its times count from base on the monotonic clock; wall is
// base on the wall clock, kept to notice that the machine slept, which stops the
// one clock and not the other.
type held struct {
	value   Secret
	fence   int64
	life    time.Duration // as the issuer stated it
	spread  float64       // u of the window, drawn once per process and renewal
	fetched bool          // by this process
	unsaved bool          // the store does not have it yet

	base  time.Time
	wall  int64         // ns
	fresh time.Duration // until then nothing is to do
	dead  time.Duration // from then on it is not handed out
	end   time.Duration // the issuer's own end

	refused *held // set while the issuer refuses this very value: what it was before
}

// newHeld places a credential that has left of its stated life at base. What a
// store says is not trusted to make sense: neither can be over maxLife.
func (c Config) newHeld(value Secret, fence int64, life time.Duration, base time.Time, left time.Duration) *held {
	life = min(max(life, 0), maxLife)
	h := &held{value: value, fence: fence, life: life, spread: c.spread(life)}
	h.place(base, min(left, life))
	return h
}

// granted places what a fetch that was sent at sent brought.
func (c Config) granted(g *Grant, fence int64, sent time.Time) *held {
	h := c.newHeld(g.Value, fence, g.ExpiresIn, sent, g.ExpiresIn)
	h.fetched = true
	return h
}

// spread draws u. The windows of two processes begin at most half an overlap
// apart: so the later one looks while the value still works, even if nobody tells
// it that the earlier one superseded it, or died when it had.
func (c Config) spread(life time.Duration) float64 {
	apart := min(0.4, float64(c.overlapOf(life)/2)/float64(maxWindow))
	return 0.9 - apart*rand.Float64()
}

// place sets the times:
//
//	fresh ────────────┬─ advisory ──┬─ margin ─┐
//	                  fresh         dead       end
func (h *held) place(base time.Time, left time.Duration) {
	left = max(left, 0) // far below it, the sums would overflow
	margin := min(maxMargin, h.life/10)
	window := min(time.Duration(float64(maxWindow)*h.spread), (h.life-margin)/2)
	h.base, h.wall = base, base.UnixNano()
	h.end = left
	h.dead = left - margin
	h.fresh = h.dead - window
}

// placed returns a copy with new times.
func (h *held) placed(base time.Time, left time.Duration) *held {
	c := *h
	c.place(base, left)
	return &c
}

// suspected returns a copy that is live for nobody, and remembers h.
func (h *held) suspected() *held {
	c := *h
	c.fresh, c.dead, c.refused = -1, -1, h
	return &c
}

// lastResort returns the value that the issuer refuses, if it lives: when there is no
// other to be had, callers get it.
func (h *held) lastResort(now time.Time) *held {
	if h == nil || !h.refused.live(now) {
		return nil
	}
	return h.refused
}

// zone is where in its life a held credential stands.
type zone int

const (
	zoneFresh    zone = iota // return it
	zoneAdvisory             // return it, and one renews in the background
	zoneDead                 // wait for another
	zoneUnsure               // the machine slept: look it up before use
)

// zone must agree with the fast path in Keeper.Token.
func (h *held) zone(now time.Time) zone {
	if h == nil {
		return zoneDead
	}
	since := now.Sub(h.base)
	switch {
	case since >= h.dead:
		return zoneDead
	case h.drift(now) > maxDrift:
		return zoneUnsure
	case since >= h.fresh:
		return zoneAdvisory
	default:
		return zoneFresh
	}
}

// live reports whether the credential may be handed out at now.
func (h *held) live(now time.Time) bool {
	z := h.zone(now)
	return z == zoneFresh || z == zoneAdvisory
}

// left returns what is left of the issuer's life at now.
func (h *held) left(now time.Time) time.Duration { return h.end - now.Sub(h.base) }

// drift returns by how much wall time ran ahead of monotonic time since base.
func (h *held) drift(now time.Time) time.Duration {
	return time.Duration(now.UnixNano()-h.wall) - now.Sub(h.base)
}

// cut returns h, or what is left of it if it was superseded at from and that is
// less.
func (c Config) cut(h *held, from, now time.Time) *held {
	left := from.Add(c.overlapOf(h.life)).Sub(now)
	if left >= h.left(now) {
		return h
	}
	short := h.placed(now, left)
	short.fresh = min(left/2, short.dead)
	return short
}
