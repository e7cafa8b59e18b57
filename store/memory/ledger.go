package memory

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/zhongkong-go/zhongkong/store"
)

// useLines is what the trail keeps of an act: it lasts no longer than the process.
const useLines = 10_000

// ledger is what a Store keeps besides its credentials.
type ledger struct {
	documents map[documentName]store.Document
	version   int64          // the highest
	uses      []store.Use    // oldest first
	acts      map[string]int // how many uses there are of each act
}

type documentName struct{ kind, name string }

// Documents implements [store.Ledger].
func (s *Store) Documents(ctx context.Context, after int64) ([]store.Document, error) {
	var docs []store.Document
	err := s.do(ctx, func(moment) error {
		for _, doc := range s.ledger.documents {
			if doc.Version > after {
				doc.Body = bytes.Clone(doc.Body)
				docs = append(docs, doc)
			}
		}
		slices.SortFunc(docs, func(a, b store.Document) int { return cmp.Compare(a.Version, b.Version) })
		return nil
	})
	return docs, err
}

// Put implements [store.Ledger].
func (s *Store) Put(ctx context.Context, doc store.Document) (int64, error) {
	if err := doc.Check(); err != nil {
		return 0, err
	}
	err := s.do(ctx, func(now moment) error {
		l, name := &s.ledger, documentName{doc.Kind, doc.Name}
		put, err := l.documents[name].Put(now.time.UnixMicro(), l.version, doc)
		if err != nil {
			return err
		}
		put.Body = bytes.Clone(put.Body)
		doc, l.version = put, put.Version
		if l.documents == nil {
			l.documents = make(map[documentName]store.Document)
		}
		l.documents[name] = doc
		return nil
	})
	if err != nil {
		return 0, err
	}
	return doc.Version, nil
}

// Note implements [store.Ledger].
func (s *Store) Note(ctx context.Context, use store.Use) error {
	if err := use.Check(); err != nil {
		return err
	}
	return s.do(ctx, func(now moment) error {
		use.At = now.time
		l := &s.ledger
		if l.acts == nil {
			l.acts = make(map[string]int)
		}
		l.uses = append(l.uses, use)
		l.acts[use.Act]++
		l.trim(use.Act, useLines)
		return nil
	})
}

// TrimUses trims an act's lines now, to at most most by [store.UseShare]. Note does it
// by itself.
func (s *Store) TrimUses(ctx context.Context, act string, most int) error {
	return s.do(ctx, func(moment) error {
		s.ledger.trim(act, most)
		return nil
	})
}

func (l *ledger) trim(act string, most int) {
	if l.acts[act] <= most {
		return
	}
	actors := make(map[string]int)
	for _, use := range l.uses {
		if use.Act == act {
			actors[use.Actor]++
		}
	}
	each, all := store.UseShare(slices.Collect(maps.Values(actors)), most)
	kept := make([]store.Use, 0, len(l.uses))
	clear(actors)
	n := 0
	for _, use := range slices.Backward(l.uses) { // newest first
		if use.Act == act {
			if actors[use.Actor] == each || n == all {
				continue
			}
			actors[use.Actor]++
			n++
		}
		kept = append(kept, use)
	}
	slices.Reverse(kept)
	l.uses, l.acts[act] = kept, n
}

// Uses implements [store.Ledger].
func (s *Store) Uses(ctx context.Context, limit int) ([]store.Use, error) {
	var uses []store.Use
	err := s.do(ctx, func(moment) error {
		all := s.ledger.uses
		uses = slices.Clone(all[max(0, len(all)-max(limit, 0)):])
		slices.Reverse(uses)
		return nil
	})
	return uses, err
}
