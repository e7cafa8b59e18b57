package custody

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

const (
	minBackOff = time.Second
	maxBackOff = time.Minute
	noteFatal  = time.Minute      // other processes leave a fatal failure alone for so long
	blockedFor = 10 * time.Minute // where a blocked failure does not say how long
)

// fetchFailed notes a failure for the fleet and returns it.
func (r *renewal) fetchFailed(lease Lease, sent time.Time, err error) error {
	k := r.k
	cause := fetchError(err)
	account, host := k.cfg.fingerprints()
	by := account
	if cause.PerHost {
		by = host
	}
	count := k.failures()
	if n, ok := r.notes.failure(by); ok {
		count = max(count, n.Count)
	}
	f, wait := r.judge(cause, count+1)
	if cause.Unanswered && !k.cfg.Kind.Idempotent {
		left := r.cut(sent)
		if r.f.refused == "" || r.guess { // else the issuer refuses it anyway: nothing is gained by waiting
			wait = max(wait, left/2)
		}
	}
	f.until = time.Now().Add(wait)
	r.notes.fail(failureNote{
		By: by, Class: f.err.Class, Code: f.err.Code, Text: f.err.Text,
		Count: f.count, Next: r.storeNow().Add(wait).UnixMicro(),
	})
	lease.Detail = clip(f.err.Text, maxFailureText)
	if r.overtaken(r.release(lease, r.notes.bytes())) {
		if cause.Unanswered && !k.cfg.Kind.Idempotent {
			r.late = sent // it may have superseded what the other one saved
			if err := r.load(); err != nil {
				return r.storeFailed(err)
			}
			r.cut(sent)
		}
		return errOvertaken
	}
	return r.fail(f)
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
// to wait after it.
func (r *renewal) judge(cause *FetchError, count int) (*failure, time.Duration) {
	f := &failure{
		err:   Error{Class: cause.Class, Code: cause.Code, Text: cause.Error(), Err: cause.Err},
		count: count,
	}
	switch cause.Class {
	case ClassBlocked:
		if cause.RetryAfter > 0 {
			return f, cause.RetryAfter
		}
		return f, blockedFor
	case ClassQuota:
		now := r.storeNow()
		return f, nextBeijingMidnight(now).Sub(now)
	case ClassFatal:
		f.never = true
		return f, noteFatal
	default:
		f.err.Class = ClassTransient
		return f, backOff(count)
	}
}

// usedUp is the failure of a day with too many fetches. It is not noted for
// others: the store's count tells them, and a limit that was raised counts at
// once.
func (r *renewal) usedUp(lease Lease, most int) error {
	_ = r.release(lease, nil)
	now := r.storeNow()
	wait := nextBeijingMidnight(now).Sub(now)
	return r.fail(&failure{
		err: Error{
			Class: ClassQuota,
			Text:  fmt.Sprintf("%d fetches were made today (UTC+8) and DailyFetches is %d: find out who makes them, or raise the limit", lease.Today, most),
			Err:   ErrDailyLimit,
		},
		until: time.Now().Add(wait),
	})
}

// storeFailed is the failure of a store that does not answer. Only this process
// knows about it.
func (r *renewal) storeFailed(err error) error {
	k := r.k
	if r.f.ctx.Err() != nil {
		return ErrClosed
	}
	count := k.failures() + 1
	return r.fail(&failure{
		err: Error{
			Class: ClassTransient,
			Text:  ErrStore.Error() + ": " + strings.TrimPrefix(err.Error(), "zhongkong: "),
			Err:   fmt.Errorf("%w: %w", ErrStore, err),
		},
		count: count,
		until: time.Now().Add(backOff(count)),
	})
}

// backOff returns how long to wait after the count-th failure in a row.
func backOff(count int) time.Duration {
	wait := minBackOff << min(max(count-1, 0), 10)
	wait = time.Duration(float64(min(wait, maxBackOff)) * (0.8 + 0.4*rand.Float64()))
	return min(max(wait, minBackOff), maxBackOff)
}
