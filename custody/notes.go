package custody

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxFailures    = 4                // kept in the record, one per fingerprint
	maxFailureText = 400              // bytes; four of them stay far below MaxNotesBytes
	maxForcedADay  = 18               // WeChat: at most 20 forced refreshes a day; two are left to people
	minForcedGap   = 30 * time.Second // between two forced refreshes
	breakerTime    = 10 * time.Minute // after a new token was refused as well
	noVerdictGap   = time.Minute      // a probe without a verdict counts as a refusal once in it
	unreadableGap  = 10 * time.Minute // a live value that cannot be opened is renewed once in it
	unsealedGap    = 2 * time.Minute  // and one in the clear in this, so that those with the key are never long without a token
	youngWindow    = time.Hour        // in which refused young values are counted
	youngLimit     = 3                // of them, after which the breaker opens
	provenAfter    = 2 * time.Second  // a new value refused twice, so far apart, opens the breaker
	maxSlow        = 2                // doublings of FetchTimeout
)

// notes is the common memory of all Keepers of one credential, kept in
// Record.Notes as JSON. Times are µs since 1970 in the store's clock.
type notes struct {
	Failures []failureNote `json:"failures,omitempty"`

	Forced    int   `json:"forced,omitempty"`     // forced fetches on ForcedDay
	ForcedDay int   `json:"forced_day,omitempty"` // in Beijing days since 1970
	ForcedAt  int64 `json:"forced_at,omitempty"`  // the last one

	Hour   window `json:"hour,omitzero"` // fetches begun since the first one in it
	Minute window `json:"minute,omitzero"`

	// Until BreakerEnd a refusal leads to no probe and no fetch. BreakerFence
	// limits that to the value of one fence; 0 means every value.
	BreakerEnd   int64 `json:"breaker_end,omitempty"`
	BreakerFence int64 `json:"breaker_fence,omitempty"`

	// A value that was fetched because of a refusal, and that the issuer refused as well:
	// once more at least provenAfter later, and the breaker opens.
	DoubtFence int64 `json:"doubt_fence,omitempty"`
	DoubtAt    int64 `json:"doubt_at,omitempty"`

	// Slow is how many times a holder's fetch timed out: each lets the next one take
	// twice as long.
	Slow int `json:"slow,omitempty"`

	NoVerdictAt  int64   `json:"no_verdict_at,omitempty"` // a probe without verdict last counted as a refusal
	UnreadableAt int64   `json:"unreadable_at,omitempty"` // last renewal because a live value could not be opened
	UnsealedAt   int64   `json:"unsealed_at,omitempty"`   // last renewal because a live value was in the clear
	Young        []int64 `json:"young,omitempty"`         // refused long before their end, within youngWindow
}

// failureNote is the last failure of one fingerprint.
type failureNote struct {
	By    string `json:"by"` // fingerprint
	Class Class  `json:"class"`
	Code  int    `json:"code,omitempty"`
	Text  string `json:"text"`
	Count int    `json:"count"` // in a row
	Next  int64  `json:"next"`  // no attempt before it

	Address string `json:"address,omitempty"` // see FetchError.Address
}

// parseNotes reads notes; what cannot be read counts as no notes.
func parseNotes(data []byte) notes {
	var n notes
	if len(data) > 0 && json.Unmarshal(data, &n) != nil {
		return notes{}
	}
	return n
}

// bytes returns the notes as they are stored. Should they be too long, the
// oldest failures are left out.
func (n *notes) bytes() []byte {
	short := *n
	for {
		data, err := json.Marshal(short)
		if err == nil && len(data) <= MaxNotesBytes {
			return data
		}
		if len(short.Failures) == 0 {
			return []byte("{}") // cannot happen: the rest is small
		}
		short.Failures = short.Failures[1:]
	}
}

// failure returns the note of one of the fingerprints whose next attempt is the
// latest.
func (n *notes) failure(by ...string) (failureNote, bool) {
	var found failureNote
	ok := false
	for _, f := range n.Failures {
		if slices.Contains(by, f.By) && (!ok || f.Next > found.Next) {
			found, ok = f, true
		}
	}
	return found, ok
}

// fail notes f, instead of the former failure of its fingerprint.
func (n *notes) fail(f failureNote) {
	f.Text = clip(strings.ToValidUTF8(f.Text, "?"), maxFailureText)
	n.clear(f.By)
	n.Failures = append(n.Failures, f)
	if extra := len(n.Failures) - maxFailures; extra > 0 {
		n.Failures = n.Failures[extra:]
	}
}

// clear forgets the failures of the fingerprints.
func (n *notes) clear(by ...string) {
	n.Failures = slices.DeleteFunc(n.Failures, func(f failureNote) bool {
		return slices.Contains(by, f.By)
	})
}

// mayForce returns how long a forced fetch has to wait at now.
func (n *notes) mayForce(now time.Time) (wait time.Duration) {
	if n.ForcedDay == BeijingDay(now) && n.Forced >= maxForcedADay {
		return nextBeijingMidnight(now).Sub(now)
	}
	return max(0, minForcedGap-since(now, n.ForcedAt))
}

func (n *notes) force(now time.Time) {
	if day := BeijingDay(now); n.ForcedDay != day {
		n.ForcedDay, n.Forced = day, 0
	}
	n.Forced++
	n.ForcedAt = now.UnixMicro()
}

// window is how many fetches were begun in an hour or a minute.
type window struct {
	Begin int64 `json:"begin"` // its first fetch
	Count int   `json:"count"`
}

// left returns how long the window of length lasts at now; 0 when it has ended.
func (w window) left(now time.Time, length time.Duration) time.Duration {
	if w.Count == 0 || time.UnixMicro(w.Begin).Sub(now) > length {
		return 0 // none, or it was begun by a clock that was corrected
	}
	return max(0, length-since(now, w.Begin))
}

// with returns the window with one fetch more, or a new one.
func (w window) with(now time.Time, length time.Duration) window {
	if w.left(now, length) == 0 {
		w = window{Begin: now.UnixMicro()}
	}
	w.Count++
	return w
}

// begin counts a fetch.
func (n *notes) begin(now time.Time) {
	n.Hour, n.Minute = n.Hour.with(now, time.Hour), n.Minute.with(now, time.Minute)
}

// breaker returns how long refusals of the value of fence are still only
// reported.
func (n *notes) breaker(now time.Time, fence int64) time.Duration {
	if n.BreakerFence != 0 && n.BreakerFence != fence {
		return 0
	}
	return max(0, time.UnixMicro(n.BreakerEnd).Sub(now))
}

// trip opens the breaker until wait has passed: for the value of fence, or 0 for any.
func (n *notes) trip(now time.Time, wait time.Duration, fence int64) {
	n.BreakerEnd, n.BreakerFence = now.Add(wait).UnixMicro(), fence
}

// doubt notes that the value of fence, which was fetched because of a refusal, was
// refused as well; fence 0 notes that it was not.
func (n *notes) doubt(now time.Time, fence int64) {
	n.DoubtFence, n.DoubtAt = fence, 0
	if fence != 0 {
		n.DoubtAt = now.UnixMicro()
	}
}

// doubted returns how long ago the value of fence was refused for the first time,
// if it is a new one that was.
func (n *notes) doubted(now time.Time, fence int64) (ago time.Duration, ok bool) {
	if n.DoubtFence == 0 || n.DoubtFence != fence {
		return 0, false
	}
	return since(now, n.DoubtAt), true
}

// took notes how long a fetch took, and that it timed out.
func (n *notes) took(d, timeout time.Duration, timedOut bool) {
	if timedOut {
		n.Slow = min(n.Slow+1, maxSlow)
		return
	}
	for n.Slow > 0 && d < timeout<<(n.Slow-1) {
		n.Slow--
	}
}

// patience returns how long the next fetch may take, timeout if none timed out.
func (n *notes) patience(timeout time.Duration) time.Duration {
	return timeout << min(max(n.Slow, 0), maxSlow)
}

// diedYoung notes that a token was refused long before its end. It reports true
// for each third one within youngWindow.
func (n *notes) diedYoung(now time.Time) bool {
	n.Young = append(slices.DeleteFunc(n.Young, func(at int64) bool {
		return since(now, at) >= youngWindow
	}), now.UnixMicro())
	if len(n.Young) < youngLimit {
		return false
	}
	n.Young = nil
	return true
}

// since returns the time from at (µs since 1970) to now. A time that lies ahead,
// because the store's clock was set back, counts as this very moment.
func since(now time.Time, at int64) time.Duration {
	return max(0, now.Sub(time.UnixMicro(at)))
}

// clip shortens s to n bytes at a rune's border.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	head := s[:n]
	for len(head) > 0 && !utf8.ValidString(head) {
		head = head[:len(head)-1]
	}
	return strings.TrimSpace(head) + "…"
}
