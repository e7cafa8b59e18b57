package store

import (
	"fmt"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

// Row is the state of one credential inside a store, and its methods are the
// rules of the [custody.Store] contract: pure functions of the state and the store's
// time, without lock, clock or engine. A store reads the row, applies one
// method and writes it back, in one atomic step; a method that returns an error
// has changed nothing.
//
// The zero Row is a credential that was never stored. As JSON it is a blob that
// may be kept as it is.
type Row struct {
	Value   string        `json:"value,omitempty"`
	SealKey string        `json:"seal_key,omitempty"`
	End     time.Time     `json:"end,omitzero"`
	Life    time.Duration `json:"life,omitempty"`
	Fence   int64         `json:"fence,omitempty"`
	Notes   []byte        `json:"notes,omitempty"`

	Top        int64     `json:"top"`                 // the highest fence given out
	Attempt    string    `json:"attempt,omitempty"`   // the holder; "" when the lease is free
	LeaseEnd   time.Time `json:"lease_end,omitzero"`  // when the lease runs out by itself
	Begun      time.Time `json:"begun,omitzero"`      // the holder's last Begin
	Unfinished time.Time `json:"unfinished,omitzero"` // Begin of a former holder of whom nothing more was heard
	Day        int       `json:"day,omitempty"`       // Beijing day of Fetches, in days since 1970
	Fetches    int       `json:"fetches,omitempty"`   // fetches begun on Day
}

// Record returns the row as [custody.Store.Load] answers it at now.
func (r *Row) Record(now time.Time) custody.Record {
	return custody.Record{
		Value: r.Value, SealKey: r.SealKey, End: r.End, Life: r.Life, Fence: r.Fence,
		Notes: r.Notes, Now: now,
	}
}

// Acquire is [custody.Store.Acquire] at now.
func (r *Row) Acquire(now time.Time, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	if err := first(key.Check(), field{"the id of an attempt", attempt, custody.MaxAttemptBytes, false}.checkName()); err != nil {
		return custody.Lease{}, err
	}
	if left := r.LeaseEnd.Sub(now); r.Attempt != "" && left > 0 {
		if r.Attempt != attempt {
			return custody.Lease{}, &custody.HeldError{Left: left}
		}
		if end := now.Add(ttl); end.After(r.LeaseEnd) {
			r.LeaseEnd = end
		}
	} else {
		if !r.Begun.IsZero() {
			r.Unfinished, r.Begun = r.Begun, time.Time{}
		}
		r.Attempt = attempt
		r.LeaseEnd = now.Add(ttl)
		r.Top = max(r.Top+1, now.UnixMicro())
	}
	lease := custody.Lease{
		Key: key, Attempt: attempt, Fence: r.Top,
		Record: r.Record(now), Unfinished: r.Unfinished,
	}
	if r.Day == custody.BeijingDay(now) {
		lease.Today = r.Fetches
	}
	return lease, nil
}

// Begin is [custody.Store.Begin] at now.
func (r *Row) Begin(now time.Time, lease custody.Lease, notes []byte) error {
	if err := checkNotes(notes); err != nil {
		return err
	}
	if lease.Fence != r.Top || r.Attempt != lease.Attempt || !now.Before(r.LeaseEnd) {
		return custody.ErrFenced
	}
	if day := custody.BeijingDay(now); r.Day != day {
		r.Day, r.Fetches = day, 0
	}
	r.Fetches++
	r.Begun = now
	if notes != nil {
		r.Notes = notes
	}
	return nil
}

// Save is [custody.Store.Save].
func (r *Row) Save(lease custody.Lease, record custody.Record) error {
	if err := first(lease.Key.Check(), CheckRecord(record)); err != nil {
		return err
	}
	if lease.Fence < r.Top {
		return custody.ErrFenced
	}
	end := record.End
	if r.Fence == lease.Fence && r.Value != "" && r.End.Before(end) {
		end = r.End // saved before, and shortened since
	}
	r.Value, r.SealKey, r.Notes = record.Value, record.SealKey, record.Notes
	r.End, r.Life, r.Fence = end, record.Life, lease.Fence
	r.free(lease)
	return nil
}

// Release is [custody.Store.Release].
func (r *Row) Release(lease custody.Lease, notes []byte) error {
	if err := first(lease.Key.Check(), checkNotes(notes)); err != nil {
		return err
	}
	if lease.Fence < r.Top {
		return custody.ErrFenced
	}
	if notes != nil {
		r.Notes = notes
	}
	r.free(lease)
	return nil
}

// Shorten is [custody.Store.Shorten]. It reports whether it changed the row.
func (r *Row) Shorten(fence int64, end time.Time) bool {
	if r.Value == "" || r.Fence != fence || !end.Before(r.End) {
		return false
	}
	r.End = end
	return true
}

// free ends the lease with everything about it known. Its fence is above Top
// only where the store lost the row since Acquire.
func (r *Row) free(lease custody.Lease) {
	r.Top = max(r.Top, lease.Fence)
	r.Attempt = ""
	r.LeaseEnd, r.Begun, r.Unfinished = time.Time{}, time.Time{}, time.Time{}
}

// Format implements [fmt.Formatter]: the value does not print.
func (r Row) Format(f fmt.State, verb rune) {
	type plain Row // without methods
	p := plain(r)
	p.Value = custody.NewSecret(p.Value).String()
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), p)
}
