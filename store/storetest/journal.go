package storetest

import (
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

func checkJournal(t *testing.T, f *fixture) {
	journal, ok := f.store(0).(custody.Journal)
	if !ok {
		t.Logf("%T has no Journal", f.store(0))
		return
	}
	entries, err := journal.Journal(in(t), f.key, 10)
	must(t, "Journal of a key that was never stored", err)
	if len(entries) > 0 {
		t.Fatalf("Journal of a key that was never stored: %v", entries)
	}
	first := f.acquire(t, 1, "first", longLease)
	first.Detail = "the window opened: 窗口"
	must(t, "Begin", f.store(1).Begin(in(t), first, nil))
	first.Detail = ""
	must(t, "Save", f.store(1).Save(in(t), first, sample(first, "value")))
	second := f.acquire(t, 2, "second", longLease)
	second.Detail = "errcode 45009"
	must(t, "Release", f.store(2).Release(in(t), second, nil))
	second.Key.Host = "elsewhere"
	other, err := f.store(2).Acquire(in(t), second.Key, "third", longLease)
	must(t, "Acquire", err)
	must(t, "Release", f.store(2).Release(in(t), other, nil))

	want := []custody.Entry{
		{Event: custody.EventRelease, Fence: second.Fence, Attempt: "second", Detail: "errcode 45009"},
		{Event: custody.EventSave, Fence: first.Fence, Attempt: "first"},
		{Event: custody.EventBegin, Fence: first.Fence, Attempt: "first", Detail: "the window opened: 窗口"},
	}
	after := f.load(t, 0).Now
	for _, limit := range []int{10, 3, 2, 1, 0} {
		got, err := journal.Journal(in(t), f.key, limit)
		must(t, "Journal", err)
		if len(got) != min(limit, len(want)) {
			t.Fatalf("Journal with the limit %d: %d entries, want %d: %v", limit, len(got), min(limit, len(want)), got)
		}
		for i, entry := range got {
			at := entry.At
			entry.At = time.Time{}
			if entry != want[i] {
				t.Fatalf("entry %d, newest first, is %+v, want %+v", i, entry, want[i])
			}
			if at.Before(first.Record.Now) || at.After(after) {
				t.Fatalf("entry %d is of %v, want a time between %v and %v", i, at, first.Record.Now, after)
			}
		}
	}
}
