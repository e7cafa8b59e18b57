package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store"
)

// part is one thing of those that a store is given: what it may be, and a call that gives
// it. give returns what came back, when it was taken.
type part struct {
	name string
	most int
	form form
	give func(t *testing.T, text string) (got string, err error)
}

type form int

const (
	anyBytes form = iota
	anyText       // UTF-8 without NUL
	aName         // without control characters too
	ascii         // printable
)

// taken are texts that every store keeps as they are.
func (p part) taken() []string {
	fill := func(s string) string { return strings.Repeat(s, p.most/len(s)) }
	texts := []string{fill("a"), `'"\;--%_?$1:name{}<>&`}
	switch p.form {
	case anyBytes:
		return append(texts, "\x00\xff\xfe", fill("\x00"), fill("\xff"))
	case anyText:
		return append(texts, fill("中"), "\t\r\n\u2028\U0001F512\uFFFD", fill("\n"))
	case aName:
		return append(texts, fill("中"), "a b\u2028\U0001F512\uFFFD")
	default:
		return texts
	}
}

// refused are texts that none takes.
func (p part) refused() []string {
	texts := []string{strings.Repeat("a", p.most+1)}
	switch p.form {
	case anyBytes:
		return texts
	case anyText:
		return append(texts, "a\x00", "\xff", "中\xe4\xb8")
	case aName:
		return append(texts, "a\x00", "\xff", "a\nb", "\x7f")
	default:
		return append(texts, "a\x00", "\xff", "中", "\t")
	}
}

// checkParts gives each part what it may be and what not. What is refused is refused with
// the contract's own error, of which a driver knows nothing.
func checkParts(t *testing.T, parts []part) {
	t.Helper()
	for _, p := range parts {
		for i, text := range p.taken() {
			if got, err := p.give(t, text); err != nil || got != text {
				t.Errorf("%s, text %d of %d bytes: came back as %d bytes, %v; want it as it was", p.name, i, len(text), len(got), err)
			}
		}
		for i, text := range p.refused() {
			_, err := p.give(t, text)
			switch {
			case err == nil:
				t.Errorf("%s, text %d: %d bytes, %.20q, are taken; want an error", p.name, i, len(text), text)
			case !strings.HasPrefix(err.Error(), "zhongkong: ") || errors.Unwrap(err) != nil || len(err.Error()) > 500:
				t.Errorf("%s, text %d: the error %q is not the contract's own", p.name, i, err)
			}
		}
	}
}

// checkLimits: every store takes the same.
func checkLimits(t *testing.T, f *fixture) {
	lease := f.acquire(t, 0, "attempt", longLease)
	good := sample(lease, "value")
	must(t, "Save", f.store(0).Save(in(t), lease, good))
	checkNoKeys(t, f, good)
	parts := credentialParts(f, lease, good)
	if ledger, ok := f.store(0).(store.Ledger); ok {
		parts = append(parts, ledgerParts(ledger)...)
	}
	checkParts(t, parts)
	if queue, ok := f.store(0).(store.Queue); ok {
		checkQueueNames(t, queue)
	}
	if journal, ok := f.store(0).(custody.Journal); ok {
		lease.Detail = "a\x00\xff" + strings.Repeat("中", 1000)
		must(t, "Save", f.store(0).Save(in(t), lease, sample(lease, "with a detail")))
		lines, err := journal.Journal(in(t), f.key, 1)
		must(t, "Journal", err)
		if want := store.JournalDetail(lease.Detail); len(lines) != 1 || lines[0].Detail != want || len(want) < 1000 {
			t.Errorf("the journal has %d lines, want one with the detail cut at %d bytes", len(lines), len(want))
		}
	}
}

func credentialParts(f *fixture, lease custody.Lease, good custody.Record) []part {
	// What is refused leaves what was there.
	save := func(t *testing.T, record custody.Record) (custody.Record, error) {
		t.Helper()
		if err := f.store(0).Save(in(t), lease, record); err != nil {
			f.mustLoad(t, 1, good, lease.Fence)
			return custody.Record{}, err
		}
		good = record
		got, err := f.store(1).Load(in(t), f.key)
		must(t, "Load", err)
		return got, nil
	}
	tries := 0
	return []part{
		{"Record.Value", custody.MaxValueBytes, anyText, func(t *testing.T, text string) (string, error) {
			t.Helper()
			record := good
			record.Value = text
			got, err := save(t, record)
			return got.Value, err
		}},
		{"Record.SealKey", 255, aName, func(t *testing.T, text string) (string, error) {
			t.Helper()
			record := good
			record.SealKey = text
			got, err := save(t, record)
			return got.SealKey, err
		}},
		{"Record.Notes", custody.MaxNotesBytes, anyBytes, func(t *testing.T, text string) (string, error) {
			t.Helper()
			record := good
			record.Notes = []byte(text)
			got, err := save(t, record)
			return string(got.Notes), err
		}},
		{"an attempt", custody.MaxAttemptBytes, aName, func(t *testing.T, text string) (string, error) {
			t.Helper()
			tries++
			key := f.key
			key.AppID += fmt.Sprintf("-%d", tries)
			lease, err := f.store(0).Acquire(in(t), key, text, longLease)
			return lease.Attempt, err
		}},
	}
}

// checkNoKeys: what is no key is an error of every call, and not one that is not found.
func checkNoKeys(t *testing.T, f *fixture, record custody.Record) {
	t.Helper()
	for _, bad := range []custody.Key{
		{},
		{Kind: "a"},
		{AppID: "a"},
		{Kind: "a", AppID: "b/c"},
		{Kind: "a", AppID: "b", Host: "c@d"},
		{Kind: "a", AppID: "b\x00"},
		{Kind: "a", AppID: "b\xff"},
		{Kind: "a b", AppID: "c"},
		{Kind: "a", AppID: strings.Repeat("b", 255)},
	} {
		s := f.store(0)
		_, load := s.Load(in(t), bad)
		_, acquire := s.Acquire(in(t), bad, "attempt", longLease)
		save := s.Save(in(t), custody.Lease{Key: bad, Attempt: "a", Fence: 1}, record)
		errs := []error{load, acquire, save, s.Shorten(in(t), bad, 1, record.End)}
		if many, ok := s.(custody.ManyLoader); ok {
			_, err := many.LoadMany(in(t), []custody.Key{f.key, bad})
			errs = append(errs, err)
		}
		if journal, ok := s.(custody.Journal); ok {
			_, err := journal.Journal(in(t), bad, 1)
			errs = append(errs, err)
		}
		want := bad.Check()
		for i, err := range errs {
			if err == nil || err.Error() != want.Error() {
				t.Errorf("call %d with the key %q: %v, want %v", i, bad, err, want)
			}
		}
	}
}

func ledgerParts(ledger store.Ledger) []part {
	put := func(t *testing.T, doc store.Document) (store.Document, error) {
		t.Helper()
		all, err := ledger.Documents(in(t), 0)
		must(t, "Documents", err)
		for _, d := range all {
			if d.Kind == doc.Kind && d.Name == doc.Name {
				doc.Version = d.Version
			}
		}
		version, err := ledger.Put(in(t), doc)
		if err != nil {
			return store.Document{}, err
		}
		all, err = ledger.Documents(in(t), version-1)
		must(t, "Documents", err)
		if len(all) != 1 || all[0].Body == nil {
			return store.Document{}, fmt.Errorf("%d documents from version %d on, or a removed one", len(all), version)
		}
		return all[0], nil
	}
	note := func(t *testing.T, use store.Use) (store.Use, error) {
		t.Helper()
		if err := ledger.Note(in(t), use); err != nil {
			return store.Use{}, err
		}
		uses, err := ledger.Uses(in(t), 1)
		must(t, "Uses", err)
		if len(uses) != 1 {
			return store.Use{}, fmt.Errorf("%d lines", len(uses))
		}
		return uses[0], nil
	}
	return []part{
		{"Document.Kind", store.MaxDocumentKind, aName, func(t *testing.T, text string) (string, error) {
			t.Helper()
			doc, err := put(t, store.Document{Kind: text, Name: "n", Body: []byte{}}) // empty, and not removed
			return doc.Kind, err
		}},
		{"Document.Name", store.MaxDocumentName, aName, func(t *testing.T, text string) (string, error) {
			t.Helper()
			doc, err := put(t, store.Document{Kind: "k", Name: text, Body: []byte("b")})
			return doc.Name, err
		}},
		{"Document.Body", store.MaxDocumentBytes, anyBytes, func(t *testing.T, text string) (string, error) {
			t.Helper()
			doc, err := put(t, store.Document{Kind: "k", Name: "n", Body: []byte(text)})
			return string(doc.Body), err
		}},
		{"Use.Act", store.MaxUseAct, aName, func(t *testing.T, text string) (string, error) {
			t.Helper()
			use, err := note(t, store.Use{Act: text})
			return use.Act, err
		}},
		{"Use.Actor", store.MaxUseName, anyText, func(t *testing.T, text string) (string, error) {
			t.Helper()
			use, err := note(t, store.Use{Act: "act", Actor: text})
			return use.Actor, err
		}},
		{"Use.Subject", store.MaxUseName, anyText, func(t *testing.T, text string) (string, error) {
			t.Helper()
			use, err := note(t, store.Use{Act: "act", Subject: text})
			return use.Subject, err
		}},
		{"Use.Detail", store.MaxUseDetail, anyText, func(t *testing.T, text string) (string, error) {
			t.Helper()
			use, err := note(t, store.Use{Act: "act", Detail: text})
			return use.Detail, err
		}},
	}
}

// checkQueueNames: a name that no delivery can have is an error of every call.
func checkQueueNames(t *testing.T, queue store.Queue) {
	t.Helper()
	for _, bad := range []string{"a\x00", "\xff", "a b", "中", strings.Repeat("a", 256)} {
		_, _, turn := queue.Turn(in(t), bad, "id", "owner")
		_, _, id := queue.Turn(in(t), "line", bad, "owner")
		_, lend := queue.Lend(in(t), "line", bad, time.Second, 1)
		_, trim := queue.Trim(in(t), bad, time.Second, 1)
		for i, err := range []error{
			turn, id, lend, trim, queue.Done(in(t), bad, "id"), queue.Done(in(t), "line", bad), queue.Later(in(t), "line", "id", bad, 0),
			queue.Push(in(t), []store.Delivery{{Line: bad, Lane: "lane", ID: "id", Body: []byte("b")}}),
			queue.Push(in(t), []store.Delivery{{Line: "line", Lane: bad, ID: "id", Body: []byte("b")}}),
		} {
			if err == nil || !strings.HasPrefix(err.Error(), "zhongkong: Delivery.") {
				t.Errorf("call %d of the queue with %.20q: %v", i, bad, err)
			}
		}
	}
}

// checkOnceLimits: every store takes the same names and contents.
func checkOnceLimits(t *testing.T, f *onceFixture) {
	once, n := f.once(0), 0
	claim := func(t *testing.T, account, key, owner string) (string, error) {
		t.Helper()
		if n++; key == "" {
			key = fmt.Sprintf("limits-%d", n)
		}
		_, _, _, err := once.Claim(in(t), account, key, owner, longLease, longLease)
		return key, err
	}
	checkParts(t, []part{
		{"an account", store.MaxClaimName, aName, func(t *testing.T, text string) (string, error) {
			t.Helper()
			_, err := claim(t, text, "", "owner")
			return text, err
		}},
		{"an owner", store.MaxClaimName, aName, func(t *testing.T, text string) (string, error) {
			t.Helper()
			_, err := claim(t, "account", "", text)
			return text, err
		}},
		{"a key", store.MaxClaimName, ascii, func(t *testing.T, text string) (string, error) {
			t.Helper()
			return claim(t, "account", text, "owner")
		}},
		{"an answer", store.MaxClaimAnswer, anyBytes, func(t *testing.T, text string) (string, error) {
			t.Helper()
			key, err := claim(t, "account", "", "owner")
			must(t, "Claim", err)
			if _, _, err := once.Finish(in(t), key, "owner", []byte(text), longLease); err != nil {
				return "", err
			}
			_, answer, err := once.Wait(in(t), key, "another", longLease)
			return string(answer), err
		}},
	})
}
