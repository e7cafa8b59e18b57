package store

import (
	"cmp"
	"iter"
	"time"
)

// Waiting is a [Delivery] inside a store, and its methods are the rules of [Queue]: pure
// functions of the state and the store's time, without lock, clock or engine, as those
// of [Row] and [Claim]. Times are microseconds of one clock of the store.
type Waiting struct {
	Delivery

	Place    int64 // in the order of Push
	PushedUS int64 // Delivery.Pushed
	FreeUS   int64 // when it may be lent
}

// Push returns d as Push of [Queue] stores it.
func (d Delivery) Push(nowUS, place int64) Waiting {
	d.Attempts = 0
	return Waiting{Delivery: d, Place: place, PushedUS: nowUS, FreeUS: nowUS + d.Wait.Microseconds()}
}

// Free reports whether it may be lent, if it is the first of its lane.
func (w *Waiting) Free(nowUS int64) bool { return w.FreeUS <= nowUS }

// Before orders what Lend of [Queue] may lend: what has been free for longest comes first.
func (w *Waiting) Before(other *Waiting) int {
	return cmp.Or(cmp.Compare(w.FreeUS, other.FreeUS), cmp.Compare(w.Place, other.Place))
}

// Lend makes owner the one who delivers it, for lease, and returns what Lend of [Queue]
// answers. The body is the stored one, not a copy.
func (w *Waiting) Lend(nowUS int64, owner string, lease time.Duration) Delivery {
	w.Owner, w.FreeUS = owner, nowUS+lease.Microseconds()
	w.Attempts++
	lent := w.Delivery
	lent.Wait = 0
	return lent
}

// Later is Later of [Queue]. It reports whether it changed anything.
func (w *Waiting) Later(nowUS int64, owner string, wait time.Duration) bool {
	if w.Owner != owner {
		return false
	}
	w.Owner, w.FreeUS = "", nowUS+wait.Microseconds()
	return true
}

// Over reports whether Trim of [Queue] removes it, of which there are newer ones in its
// line.
func (w *Waiting) Over(nowUS int64, keep time.Duration, newer, most int) bool {
	return nowUS-w.PushedUS > keep.Microseconds() || newer >= most
}

// LineOf returns what Lines of [Queue] answers of a line in which all wait.
func LineOf(name string, nowUS int64, all iter.Seq[*Waiting]) Line {
	line := Line{Name: name, Free: 1<<63 - 1}
	for w := range all {
		line.Waiting++
		line.Oldest = max(line.Oldest, time.Duration(nowUS-w.PushedUS)*time.Microsecond)
		line.Free = min(line.Free, max(0, time.Duration(w.FreeUS-nowUS)*time.Microsecond))
	}
	return line
}
