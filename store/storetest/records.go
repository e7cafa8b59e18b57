package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

func checkNotFound(t *testing.T, f *fixture) {
	if _, err := f.store(0).Load(in(t), f.key); !errors.Is(err, custody.ErrNotFound) {
		t.Fatalf("Load of a key that was never stored: got %v, want ErrNotFound", err)
	}
	must(t, "Shorten of a key that was never stored", f.store(0).Shorten(in(t), f.key, 1, time.Now()))
	if _, err := f.store(0).Load(in(t), f.key); !errors.Is(err, custody.ErrNotFound) {
		t.Fatalf("Load after Shorten of a key that was never stored: got %v, want ErrNotFound", err)
	}
}

func checkSaveAndLoad(t *testing.T, f *fixture) {
	var last custody.Record
	var fence int64
	for i, value := range []string{"first", "second"} {
		lease := f.acquire(t, i, "attempt-"+value, longLease)
		if d := f.differ(lease.Record, last, fence); d != "" {
			t.Fatalf("the lease's record, which is the second look: %s", d)
		}
		record := sample(lease, value)
		record.SealKey = "0a1b2c3d"
		must(t, "Save", f.store(i).Save(in(t), lease, record))
		for j := range f.handles {
			f.mustLoad(t, j, record, lease.Fence)
		}
		last, fence = record, lease.Fence
	}
}

func checkKeysApart(t *testing.T, f *fixture) {
	base := f.key
	other := func(change func(*custody.Key)) custody.Key {
		key := base
		change(&key)
		return key
	}
	keys := []custody.Key{
		base,
		other(func(k *custody.Key) { k.Kind = "jsapi_ticket" }),
		other(func(k *custody.Key) { k.API = "classic" }),
		other(func(k *custody.Key) { k.API = "" }),
		other(func(k *custody.Key) { k.Host = "127.0.0.1:8080" }),
		other(func(k *custody.Key) { k.AppID = strings.ToUpper(base.AppID) }),
		other(func(k *custody.Key) { k.AppID = base.AppID + "%" }),
	}
	saved := make([]custody.Record, len(keys))
	fences := make([]int64, len(keys))
	for i, key := range keys {
		f.key = key
		lease := f.acquire(t, i, fmt.Sprintf("attempt-%d", i), longLease)
		saved[i], fences[i] = sample(lease, fmt.Sprintf("value of %v", key)), lease.Fence
		must(t, "Save", f.store(i).Save(in(t), lease, saved[i]))
	}
	for i, key := range keys {
		f.key = key
		f.mustLoad(t, i+1, saved[i], fences[i])
	}
}

func checkSizes(t *testing.T, f *fixture) {
	full := func(s string, n int) string { return strings.Repeat(s, n/len(s)+1)[:n] }
	for name, text := range map[string]string{
		"ascii":   full("abcdefghij", custody.MaxValueBytes),
		"unicode": full("中控令牌", custody.MaxValueBytes/12*12),
		"signs":   `'"\;--%_?$1:name{}` + "\t\r\n\u2028\U0001F512",
	} {
		lease := f.acquire(t, 0, full("attempt-"+name+"-", custody.MaxAttemptBytes), longLease)
		record := sample(lease, text)
		record.Notes = []byte(text)
		must(t, "Save of "+name, f.store(0).Save(in(t), lease, record))
		f.mustLoad(t, 1, record, lease.Fence)
	}
	lease := f.acquire(t, 0, "all bytes", longLease)
	record := sample(lease, "value")
	record.Notes = nil
	for i := range custody.MaxNotesBytes {
		record.Notes = append(record.Notes, byte(i))
	}
	must(t, "Save of notes with every byte", f.store(0).Save(in(t), lease, record))
	f.mustLoad(t, 1, record, lease.Fence)
}

func checkPrecision(t *testing.T, f *fixture) {
	var lease custody.Lease
	var record custody.Record
	for _, us := range []int{0, 1, 499, 500, 999999, 123456} {
		lease = f.acquire(t, 0, fmt.Sprintf("attempt-%d", us), longLease)
		record = sample(lease, "value")
		record.Life = 7200*time.Second + 123456*time.Microsecond
		record.End = lease.Record.Now.Truncate(time.Second).Add(time.Hour + time.Duration(us)*time.Microsecond)
		must(t, "Save", f.store(0).Save(in(t), lease, record))
		f.mustLoad(t, 1, record, lease.Fence)
	}
	record.End = record.End.Add(-time.Minute - 333*time.Microsecond)
	must(t, "Shorten", f.store(0).Shorten(in(t), f.key, lease.Fence, record.End))
	f.mustLoad(t, 1, record, lease.Fence)
}

// checkCallersBytes: notes belong to the side that holds them, on both sides.
func checkCallersBytes(t *testing.T, f *fixture) {
	lease := f.acquire(t, 0, "attempt", longLease)
	record := sample(lease, "value")
	want := record
	want.Notes = bytes.Clone(record.Notes)
	must(t, "Save", f.store(0).Save(in(t), lease, record))
	clear(record.Notes)
	got := f.mustLoad(t, 0, want, lease.Fence)
	clear(got.Notes)
	f.mustLoad(t, 0, want, lease.Fence)
}

func checkShorten(t *testing.T, f *fixture) {
	lease := f.acquire(t, 0, "attempt", longLease)
	record := sample(lease, "value")
	must(t, "Save", f.store(0).Save(in(t), lease, record))
	shorten := func(fence int64, end time.Time) {
		t.Helper()
		must(t, "Shorten", f.store(0).Shorten(in(t), f.key, fence, end))
		f.mustLoad(t, 1, record, lease.Fence)
	}
	earlier := record.End.Add(-time.Minute)
	shorten(lease.Fence-1, earlier)
	shorten(lease.Fence+1, earlier)
	shorten(lease.Fence, record.End.Add(time.Minute))
	shorten(lease.Fence, record.End)
	record.End = earlier
	shorten(lease.Fence, earlier)
	shorten(lease.Fence, earlier.Add(time.Second))
	record.End = lease.Record.Now.Truncate(time.Second).Add(-time.Minute) // over already
	shorten(lease.Fence, record.End)

	next := f.acquire(t, 1, "next", longLease)
	shorten(next.Fence, record.End.Add(-time.Minute)) // its fence, but not its value yet
	record.End = record.End.Add(-time.Second)
	shorten(lease.Fence, record.End) // somebody else's lease is no hindrance
	must(t, "Save after Shorten", f.store(1).Save(in(t), next, sample(next, "newer")))
	must(t, "Shorten of an older value", f.store(0).Shorten(in(t), f.key, lease.Fence, earlier.Add(-time.Hour)))
	f.mustLoad(t, 0, sample(next, "newer"), next.Fence)
}

func checkNotes(t *testing.T, f *fixture) {
	notes := func(i int, want string) {
		t.Helper()
		if got := f.loaded(t, i); string(got.Notes) != want {
			t.Fatalf("Notes are %q, want %q", got.Notes, want)
		}
	}
	lease := f.acquire(t, 0, "first", longLease)
	must(t, "Begin", f.store(0).Begin(in(t), lease, []byte("begun")))
	notes(1, "begun")
	must(t, "Begin", f.store(0).Begin(in(t), lease, nil))
	notes(1, "begun")
	must(t, "Release", f.store(0).Release(in(t), lease, nil))
	notes(1, "begun")
	if record := f.load(t, 1); record.Value != "" || record.Fence != 0 {
		t.Fatalf("a record with notes alone has the value %q and the fence %d", record.Value, record.Fence)
	}
	lease = f.acquire(t, 1, "second", longLease)
	if string(lease.Record.Notes) != "begun" {
		t.Fatalf("the lease's notes are %q, want %q", lease.Record.Notes, "begun")
	}
	must(t, "Release", f.store(1).Release(in(t), lease, []byte("released")))
	notes(0, "released")
	lease = f.acquire(t, 0, "third", longLease)
	record := sample(lease, "value")
	must(t, "Save", f.store(0).Save(in(t), lease, record))
	lease = f.acquire(t, 0, "fourth", longLease)
	must(t, "Begin", f.store(0).Begin(in(t), lease, []byte{}))
	notes(1, "")
	record.Notes = nil
	must(t, "Save without notes", f.store(0).Save(in(t), lease, record))
	f.mustLoad(t, 1, record, lease.Fence)
}
