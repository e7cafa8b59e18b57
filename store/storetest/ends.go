package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
)

func checkEndedContext(t *testing.T, f *fixture) {
	lease := f.acquire(t, 0, "first", longLease)
	record := sample(lease, "value")
	must(t, "Save", f.store(0).Save(in(t), lease, record))
	saved := lease
	lease = f.acquire(t, 0, "second", longLease)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s := f.store(1)
	calls := map[string]func() error{
		"Load": func() error { _, err := s.Load(ended, f.key); return err },
		"Acquire": func() error {
			_, err := s.Acquire(ended, f.key, "second", longLease)
			return err
		},
		"Begin":   func() error { return s.Begin(ended, lease, []byte("ended")) },
		"Save":    func() error { return s.Save(ended, lease, sample(lease, "ended")) },
		"Release": func() error { return s.Release(ended, lease, []byte("ended")) },
		"Shorten": func() error {
			return s.Shorten(ended, f.key, saved.Fence, record.End.Add(-time.Minute))
		},
	}
	if j, ok := s.(custody.Journal); ok {
		calls["Journal"] = func() error { _, err := j.Journal(ended, f.key, 1); return err }
	}
	for name, call := range calls {
		name += " with a ctx that had ended"
		patience.InTime(t, name, time.Second, func() time.Duration {
			start := time.Now()
			err := call()
			took := time.Since(start)
			mustFail(t, name, err)
			return took
		})
	}
	f.mustLoad(t, 0, record, saved.Fence)
	_, err := f.store(0).Acquire(in(t), f.key, "third", longLease)
	mustBeHeld(t, err, longLease)
	if again := f.acquire(t, 0, "second", longLease); again.Fence != lease.Fence || again.Today != 0 {
		t.Fatalf("the lease has the fence %d and %d fetches, want %d and none", again.Fence, again.Today, lease.Fence)
	}
	must(t, "Release", f.store(0).Release(in(t), lease, nil))
	if _, err := s.Acquire(ended, f.key, "fourth", longLease); err == nil {
		t.Error("Acquire with a ctx that had ended gave the lease")
	}
	f.acquire(t, 0, "fifth", longLease) // not held by the fourth
}

func checkClose(t *testing.T, f *fixture) {
	lease := f.acquire(t, 0, "attempt", longLease)
	s := f.store(0)
	must(t, "Close", s.Close())
	must(t, "Close again", s.Close())
	_, err := s.Load(in(t), f.key)
	mustFail(t, "Load after Close", err)
	_, err = s.Acquire(in(t), f.key, "next", longLease)
	mustFail(t, "Acquire after Close", err)
	mustFail(t, "Begin after Close", s.Begin(in(t), lease, nil))
	mustFail(t, "Save after Close", s.Save(in(t), lease, sample(lease, "value")))
	mustFail(t, "Release after Close", s.Release(in(t), lease, nil))
	mustFail(t, "Shorten after Close", s.Shorten(in(t), f.key, lease.Fence, time.Now()))
	if w, ok := s.(custody.Watcher); ok {
		_, err := w.Watch(in(t))
		mustFail(t, "Watch after Close", err)
	}
	if j, ok := s.(custody.Journal); ok {
		_, err := j.Journal(in(t), f.key, 1)
		mustFail(t, "Journal after Close", err)
	}
	if len(f.handles) > 1 {
		must(t, "Save through another handle", f.store(1).Save(in(t), lease, sample(lease, "value")))
	}
}

// mustFail wants an error that says nothing about the record.
func mustFail(t *testing.T, call string, err error) {
	t.Helper()
	var held *custody.HeldError
	switch {
	case err == nil:
		t.Errorf("%s: no error", call)
	case errors.Is(err, custody.ErrNotFound), errors.Is(err, custody.ErrFenced), errors.As(err, &held):
		t.Errorf("%s: got %q, which says something about the record", call, err)
	}
}
