package custody

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	minBackOff = time.Second      // after the first failure that time may mend; doubles
	maxBackOff = time.Minute      // the longest of these
	noteFatal  = time.Minute      // other processes leave a fatal failure alone for so long
	blockedFor = 10 * time.Minute // where a blocked failure does not say how long
	secondTry  = 3 * time.Second  // after the first refusal of this machine's address, over a new connection
)

// failure is what the last attempt met.
type failure struct {
	err   Error // without RetryAfter
	count int   // in a row
	until time.Time
	never bool  // no further attempt by this process
	soon  bool  // callers wait for the next attempt, which comes in seconds
	fence int64 // of the value that was held then; 0 for none
}

// at returns the error as a caller gets it at now.
func (f *failure) at(now time.Time) *Error {
	err := f.err
	if !f.never {
		err.RetryAfter = max(0, f.until.Sub(now))
	}
	return &err
}

// lasts reports whether an attempt failed and the next one is not due.
func (f *failure) lasts(now time.Time) bool {
	return f != nil && (f.never || now.Before(f.until))
}

// ofStore reports whether it was the store that failed.
func (f *failure) ofStore() bool { return f != nil && errors.Is(f.err.Err, ErrStore) }

// overcome reports whether the attempt that failed has been made good: there is
// another value by now, or the store answers once more. That the value of then still
// lives says nothing about the next attempt.
func (f *failure) overcome(h *held) bool {
	return f == nil || f.fence != h.fence || f.ofStore()
}

// fetchError returns what Fetch returned as the type that it should be.
func fetchError(err error) *FetchError {
	var cause *FetchError
	if !errors.As(err, &cause) {
		cause = &FetchError{Class: ClassTransient, Unanswered: true, Err: err}
	}
	return cause
}

// judge returns the count-th failure in a row as it is remembered, and how long
// to wait after it. storeNow is the time for which a quota counts.
func judge(cause *FetchError, count int, storeNow time.Time) (*failure, time.Duration) {
	f := &failure{
		err:   Error{Class: cause.Class, Code: cause.Code, Text: cause.Error(), Err: cause.Err},
		count: count,
	}
	switch cause.Class {
	case ClassBlocked:
		switch {
		case cause.PerHost && count == 1:
			f.soon = true
			return f, secondTry
		case cause.RetryAfter > 0:
			return f, cause.RetryAfter
		}
		return f, blockedFor
	case ClassQuota:
		return f, nextBeijingMidnight(storeNow).Sub(storeNow)
	case ClassFatal:
		f.never = true
		return f, noteFatal
	default:
		f.err.Class = ClassTransient
		return f, backOff(count)
	}
}

func storeFailed(cause error, answers bool, before *failure, now time.Time) *failure {
	text := ErrStore.Error()
	if answers {
		text = "the store answers, but does not save"
	}
	f := &failure{
		err: Error{
			Class: ClassTransient, Text: fmt.Sprintf("%s: %v", text, cause), Err: fmt.Errorf("%w: %w", ErrStore, cause),
		},
		count: 1, until: now.Add(minBackOff),
	}
	if before != nil {
		f.count = before.count + 1
	}
	return f
}

// backOff returns how long to wait after the count-th failure in a row.
func backOff(count int) time.Duration {
	wait := minBackOff << min(max(count-1, 0), 10)
	wait = time.Duration(float64(min(wait, maxBackOff)) * (0.8 + 0.4*rand.Float64()))
	return min(max(wait, minBackOff), maxBackOff)
}
