package memory

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/zhongkong-go/zhongkong/store"
)

// useLines is what the trail keeps at least: it lasts no longer than the process.
const useLines = 10_000

// ledger is what a Store keeps beside its credentials.
type ledger struct {
	documents map[documentName]store.Document
	version   int64       // the highest
	uses      []store.Use // oldest first
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
		s.ledger.uses = append(s.ledger.uses, use)
		if n := len(s.ledger.uses); n > 2*useLines {
			s.ledger.uses = slices.Clone(s.ledger.uses[n-useLines:])
		}
		return nil
	})
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
