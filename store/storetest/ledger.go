package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/zhongkong-go/zhongkong/store"
)

// checkLedger checks [store.Ledger] where a store has it.
func checkLedger(t *testing.T, f *fixture) {
	if _, ok := f.store(0).(store.Ledger); !ok {
		t.Logf("%T has no Ledger", f.store(0))
		return
	}
	ledger := func(i int) store.Ledger { return f.store(i).(store.Ledger) }
	put := func(i int, doc store.Document) int64 {
		t.Helper()
		version, err := ledger(i).Put(in(t), doc)
		must(t, "Put", err)
		return version
	}
	conflict := func(what string, doc store.Document) {
		t.Helper()
		if _, err := ledger(1).Put(in(t), doc); !errors.Is(err, store.ErrConflict) {
			t.Fatalf("Put %s: got %v, want ErrConflict", what, err)
		}
	}
	want := func(i int, after int64, docs ...store.Document) {
		t.Helper()
		got, err := ledger(i).Documents(in(t), after)
		must(t, "Documents", err)
		if len(got) != len(docs) {
			t.Fatalf("Documents after %d: %d, want %d", after, len(got), len(docs))
		}
		for n, doc := range docs {
			g := got[n]
			if g.Kind != doc.Kind || g.Name != doc.Name || g.Version != doc.Version || !bytes.Equal(g.Body, doc.Body) || (g.Body == nil) != (doc.Body == nil) {
				t.Fatalf("Documents after %d, number %d: got %s %s of version %d with %d bytes, want %s %s of version %d with %d",
					after, n, g.Kind, g.Name, g.Version, len(g.Body), doc.Kind, doc.Name, doc.Version, len(doc.Body))
			}
		}
	}

	want(0, 0)
	shop := store.Document{Kind: "client", Name: "shop", Body: []byte("商店\x00\xff")}
	crm := store.Document{Kind: "client", Name: "crm", Body: bytes.Repeat([]byte("x"), store.MaxDocumentBytes)}
	shop.Version = put(0, shop)
	crm.Version = put(1, crm)
	if shop.Version < 1 || crm.Version <= shop.Version {
		t.Fatalf("versions %d and %d, want them to grow", shop.Version, crm.Version)
	}
	want(2, 0, shop, crm)
	want(3, shop.Version, crm)
	want(3, crm.Version)

	conflict("what is there already", store.Document{Kind: "client", Name: "shop", Body: []byte("x")})
	conflict("what was never there", store.Document{Kind: "account", Name: "shop", Body: []byte("x"), Version: shop.Version})
	conflict("an older version", store.Document{Kind: "client", Name: "crm", Body: []byte("x"), Version: shop.Version})
	if _, err := ledger(0).Put(in(t), store.Document{Kind: "client", Name: "big", Body: make([]byte, store.MaxDocumentBytes+1)}); err == nil {
		t.Fatal("Put of more than MaxDocumentBytes is no error")
	}

	removed := shop
	removed.Body = nil
	removed.Version = put(1, removed)
	want(0, 0, crm, removed)
	conflict("what was removed", shop)
	shop.Version = 0
	shop.Version = put(2, shop)
	want(0, crm.Version, shop)

	// Of many who change the same version one does.
	var group sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for n := range 8 {
		group.Go(func() {
			doc := shop
			doc.Body = fmt.Appendf(nil, "change %d", n)
			_, err := ledger(n).Put(in(t), doc)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, store.ErrConflict) {
				t.Errorf("Put: %v", err)
			}
		})
	}
	group.Wait()
	if won != 1 {
		t.Fatalf("%d of 8 changed the same version, want 1", won)
	}

	for n := range 3 {
		must(t, "Note", ledger(n).Note(in(t), store.Use{Actor: "client 商店", Act: "act", Subject: "wx", Detail: fmt.Sprint(n)}))
	}
	uses, err := ledger(3).Uses(in(t), 2)
	must(t, "Uses", err)
	if len(uses) != 2 || uses[0].Detail != "2" || uses[1].Detail != "1" || uses[0].Actor != "client 商店" || uses[0].At.Before(uses[1].At) || uses[1].At.IsZero() {
		t.Fatalf("Uses: %+v", uses)
	}
}
