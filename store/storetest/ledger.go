package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/zhongkong-go/zhongkong/store"
)

// ledgers are handles on one place for data whose stores have [store.Ledger].
type ledgers struct {
	*testing.T

	f *fixture
}

func (l ledgers) ledger(i int) store.Ledger { return l.f.store(i).(store.Ledger) }

func (l ledgers) put(i int, doc store.Document) int64 {
	l.Helper()
	version, err := l.ledger(i).Put(in(l.T), doc)
	must(l.T, "Put", err)
	return version
}

func (l ledgers) conflict(what string, doc store.Document) {
	l.Helper()
	if _, err := l.ledger(1).Put(in(l.T), doc); !errors.Is(err, store.ErrConflict) {
		l.Fatalf("Put %s: got %v, want ErrConflict", what, err)
	}
}

func (l ledgers) want(i int, after int64, docs ...store.Document) {
	l.Helper()
	got, err := l.ledger(i).Documents(in(l.T), after)
	must(l.T, "Documents", err)
	if len(got) != len(docs) {
		l.Fatalf("Documents after %d: %d, want %d", after, len(got), len(docs))
	}
	for n, doc := range docs {
		g := got[n]
		if g.Kind != doc.Kind || g.Name != doc.Name || g.Version != doc.Version ||
			!bytes.Equal(g.Body, doc.Body) || (g.Body == nil) != (doc.Body == nil) {
			l.Fatalf("Documents after %d, number %d: got %s %s of version %d with %d bytes, want %s %s of version %d with %d",
				after, n, g.Kind, g.Name, g.Version, len(g.Body), doc.Kind, doc.Name, doc.Version, len(doc.Body))
		}
	}
}

// checkLedger checks [store.Ledger] where a store has it.
func checkLedger(t *testing.T, f *fixture) {
	if _, ok := f.store(0).(store.Ledger); !ok {
		t.Logf("%T has no Ledger", f.store(0))
		return
	}
	l := ledgers{t, f}
	l.want(0, 0)
	shop := store.Document{Kind: "client", Name: "shop", Body: []byte("商店\x00\xff")}
	crm := store.Document{Kind: "client", Name: "crm", Body: bytes.Repeat([]byte("x"), store.MaxDocumentBytes)}
	shop.Version = l.put(0, shop)
	crm.Version = l.put(1, crm)
	if shop.Version < 1 || crm.Version <= shop.Version {
		t.Fatalf("versions %d and %d, want them to grow", shop.Version, crm.Version)
	}
	l.want(2, 0, shop, crm)
	l.want(3, shop.Version, crm)
	l.want(3, crm.Version)

	l.conflict("what is there already", store.Document{Kind: "client", Name: "shop", Body: []byte("x")})
	l.conflict("what was never there", store.Document{Kind: "account", Name: "shop", Body: []byte("x"), Version: shop.Version})
	l.conflict("an older version", store.Document{Kind: "client", Name: "crm", Body: []byte("x"), Version: shop.Version})
	big := store.Document{Kind: "client", Name: "big", Body: make([]byte, store.MaxDocumentBytes+1)}
	if _, err := l.ledger(0).Put(in(t), big); err == nil {
		t.Fatal("Put of more than MaxDocumentBytes is no error")
	}

	removed := shop
	removed.Body = nil
	removed.Version = l.put(1, removed)
	l.want(0, 0, crm, removed)
	l.conflict("what was removed", shop)
	shop.Version = 0
	shop.Version = l.put(2, shop)
	l.want(0, crm.Version, shop)
	l.race(shop)
	l.uses()
	l.shares()
}

// race has several change the same version, of which one may.
func (l ledgers) race(shop store.Document) {
	l.Helper()
	var group sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for n := range 8 {
		group.Go(func() {
			doc := shop
			doc.Body = fmt.Appendf(nil, "change %d", n)
			_, err := l.ledger(n).Put(in(l.T), doc)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, store.ErrConflict) {
				l.Errorf("Put: %v", err)
			}
		})
	}
	group.Wait()
	if won != 1 {
		l.Fatalf("%d of 8 changed the same version, want 1", won)
	}
}

// uses checks the journal.
func (l ledgers) uses() {
	l.Helper()
	for n := range 3 {
		must(l.T, "Note", l.ledger(n).Note(in(l.T), store.Use{Actor: "client 商店", Act: "act", Subject: "wx", Detail: fmt.Sprint(n)}))
	}
	uses, err := l.ledger(3).Uses(in(l.T), 2)
	must(l.T, "Uses", err)
	if len(uses) != 2 || uses[0].Detail != "2" || uses[1].Detail != "1" ||
		uses[0].Actor != "client 商店" || uses[0].At.Before(uses[1].At) || uses[1].At.IsZero() {
		l.Fatalf("Uses: %+v", uses)
	}
}

// shares checks that trimming takes from the actor with the most lines of an act, its oldest
// first, by [store.UseShare].
func (l ledgers) shares() {
	l.Helper()
	trimmer, ok := l.ledger(0).(interface {
		TrimUses(ctx context.Context, act string, most int) error
	})
	if !ok {
		l.Logf("shares of the journal are not tested: %T has no method TrimUses(ctx, act, most), by which this suite trims without writing 100,000 lines", l.ledger(0))
		return
	}
	for n := range 60 { // the noisy one before and after the others
		actor := "client noisy"
		switch {
		case n >= 20 && n < 25:
			actor = "client busy"
		case n == 30:
			actor = "client 商店"
		}
		for _, act := range []string{"share", "other"} {
			must(l.T, "Note", l.ledger(n).Note(in(l.T), store.Use{Actor: actor, Act: act, Detail: fmt.Sprint(n)}))
		}
	}
	want := func(act string, most int, details ...string) {
		l.Helper()
		must(l.T, "TrimUses", trimmer.TrimUses(in(l.T), act, most))
		uses, err := l.ledger(1).Uses(in(l.T), 1000)
		must(l.T, "Uses", err)
		var got []string
		for _, use := range uses {
			if use.Act == "share" {
				got = append(got, use.Detail)
			}
		}
		if !slices.Equal(got, details) {
			l.Fatalf("after trimming %s to %d lines: %q, want %q", act, most, got, details)
		}
	}
	all := make([]string, 60)
	for n := range all {
		all[n] = fmt.Sprint(59 - n)
	}
	want("share", 60, all...)
	want("other", 3, all...)
	want("share", 20, "59", "58", "57", "56", "55", "54", "53", "52", "51", "50", "49", "48", "30", "24", "23", "22", "21", "20")
	want("share", 10, "59", "58", "57", "56", "30", "24", "23", "22", "21")
	want("share", 3, "59", "30", "24")
	want("share", 1, "59")
}
