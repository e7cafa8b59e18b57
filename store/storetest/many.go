package storetest

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
)

// checkLoadMany: LoadMany answers what so many Loads would.
func checkLoadMany(t *testing.T, f *fixture) {
	store := f.store(0)
	many, ok := store.(custody.ManyLoader)
	if !ok {
		t.Logf("%T has no LoadMany: each record is loaded by itself", store)
		return
	}
	load := func(keys ...custody.Key) map[custody.Key]custody.Record {
		t.Helper()
		records, err := many.LoadMany(in(t), keys)
		must(t, fmt.Sprintf("LoadMany of %d keys", len(keys)), err)
		return records
	}
	if records := load(f.key); len(records) > 0 {
		t.Fatalf("LoadMany of a key that was never stored: %d records", len(records))
	}
	if records := load(); len(records) > 0 {
		t.Fatalf("LoadMany of no keys: %d records", len(records))
	}

	// Keys that differ in one part each, every other one of them stored, among as
	// many as are asked for at most.
	keys := []custody.Key{
		f.key,
		{Kind: f.key.Kind, AppID: f.key.AppID, API: "classic"},
		{Kind: "jsapi_ticket", AppID: f.key.AppID},
		{Kind: "jsapi_ticket", AppID: f.key.AppID, Host: "127.0.0.1:8080"},
		{Kind: f.key.Kind, AppID: "WX0123456789ABCDEF", API: f.key.API},
		{Kind: f.key.Kind, AppID: "wx0123456789abcde_", API: f.key.API},
		{Kind: f.key.Kind, AppID: "wx'--", API: f.key.API},
	}
	for i := len(keys); i < custody.MaxLoadMany; i++ {
		keys = append(keys, custody.Key{Kind: f.key.Kind, AppID: fmt.Sprintf("wx%016x", i), API: f.key.API})
	}
	type saved struct {
		record custody.Record
		fence  int64
	}
	stored := map[custody.Key]saved{}
	for i := 0; i < 20; i += 2 {
		lease, err := f.store(i).Acquire(in(t), keys[i], "attempt", longLease)
		must(t, "Acquire", err)
		record := sample(lease, fmt.Sprintf("value-%d", i))
		record.SealKey = "0a1b2c3d"
		must(t, "Save", f.store(i).Save(in(t), lease, record))
		stored[keys[i]] = saved{record, lease.Fence}
	}
	compare := func(what string, records map[custody.Key]custody.Record, want map[custody.Key]saved) {
		t.Helper()
		for key := range records {
			if _, ok := want[key]; !ok {
				t.Errorf("%s: a record of %v, which has none or was not asked for", what, key)
			}
		}
		for key, s := range want {
			got, ok := records[key]
			if !ok {
				t.Errorf("%s: no record of %v", what, key)
				continue
			}
			if d := f.differ(got, s.record, s.fence); d != "" {
				t.Errorf("%s: %v: %s", what, key, d)
			}
		}
	}
	records := load(keys...)
	compare("LoadMany", records, stored)
	one, err := store.Load(in(t), f.key)
	must(t, "Load", err)
	if off := one.Now.Sub(records[f.key].Now); off < -callTime || off > callTime {
		t.Errorf("Now of LoadMany and of Load are %s apart: the clock is another one", off)
	}
	compare("LoadMany of one key, twice", load(f.key, f.key), map[custody.Key]saved{f.key: stored[f.key]})
	compare("LoadMany of the others", load(keys[1:]...), without(stored, f.key))

	// What a caller does to its bytes stays with it.
	for key, record := range records {
		if len(record.Notes) == 0 {
			t.Fatalf("LoadMany: %v has no notes", key)
		}
		clear(record.Notes)
	}
	compare("LoadMany after a caller wrote into its notes", load(keys...), stored)

	// A renewal's end is seen: notes alone, and no value at all.
	lease, err := f.store(1).Acquire(in(t), keys[1], "attempt", longLease)
	must(t, "Acquire", err)
	must(t, "Release", f.store(1).Release(in(t), lease, []byte("notes")))
	if record := load(keys[:2]...)[keys[1]]; record.Value != "" || !bytes.Equal(record.Notes, []byte("notes")) {
		t.Errorf("LoadMany of a key with notes alone: the value %q, the notes %q", record.Value, record.Notes)
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	patience.InTime(t, "LoadMany with a ctx that had ended", time.Second, func() time.Duration {
		start := time.Now()
		_, err := many.LoadMany(ended, keys)
		took := time.Since(start)
		mustFail(t, "LoadMany with a ctx that had ended", err)
		return took
	})
	must(t, "Close", store.Close())
	_, err = many.LoadMany(in(t), keys)
	mustFail(t, "LoadMany after Close", err)
}

func without[K comparable, V any](all map[K]V, but K) map[K]V {
	some := make(map[K]V, len(all))
	for k, v := range all {
		if k != but {
			some[k] = v
		}
	}
	return some
}
