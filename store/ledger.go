package store

import (
	"context"
	"errors"
	"slices"
	"time"
)

// ErrConflict is returned by Ledger.Put when the document is not, or no longer,
// the one that was read: read it again, and decide again.
var ErrConflict = errors.New("zhongkong: the document was changed meanwhile")

// Ledger is an optional ability of a Store: it keeps small documents next to the
// credentials, and a trail of who did what. Package gateway keeps its clients in
// it, so that all gateways of a store know them.
//
// What the contract of [Store] says about time, atomicity, concurrency and
// cancellation holds here as well. What [Document.Check] and [Use.Check] refuse is an
// error before anything happens.
type Ledger interface {
	// Documents returns the documents whose Version is above after, lowest version
	// first, removed ones with a nil Body; 0 returns all that exist or did. A caller
	// that passes on the highest version it has seen misses no change: a version
	// shows only when no lower one can come any more.
	Documents(ctx context.Context, after int64) ([]Document, error)

	// Put writes doc under its Kind and Name and returns its new Version,
	//
	//	version = max(highest version + 1, the store's time in µs since 1970)
	//
	// A nil Body removes. doc.Version has to be the stored one's, 0 where there is
	// none or it was removed, or it is ErrConflict and nothing happens.
	Put(ctx context.Context, doc Document) (version int64, err error)

	// Note appends a line to the trail, with the store's time. It is written for
	// good when Note returns nil.
	Note(ctx context.Context, use Use) error

	// Uses returns the newest lines of the trail, newest first, at most limit. A
	// store keeps 90 days of them, and of an act of which there are more than
	// 100,000 (10,000 in a process's memory) what [UseShare] leaves.
	Uses(ctx context.Context, limit int) ([]Use, error)
}

// Document is what a [Ledger] keeps under a name.
type Document struct {
	Kind    string // such as "client"
	Name    string // one of its Kind
	Body    []byte // at most MaxDocumentBytes; nil when it was removed
	Version int64  // of its last change
}

// Put is the rule of Put of [Ledger]: what is stored instead of d, the zero Document
// where nothing is, when top is the highest version so far. The body is doc's, not a
// copy.
func (d Document) Put(nowUS, top int64, doc Document) (Document, error) {
	live := d.Body != nil
	if live && d.Version != doc.Version || !live && doc.Version != 0 {
		return d, ErrConflict
	}
	doc.Version = max(top+1, nowUS)
	return doc, nil
}

// Use is a line of a [Ledger]'s trail: who did what.
type Use struct {
	At      time.Time // the store's clock; ignored by Note
	Actor   string    // such as "client shop" or "admin 127.0.0.1"
	Act     string    // such as "hand out token"
	Subject string    // what it was done to, such as an appid
	Detail  string    // never a secret
}

// UseShare is the rule by which a Ledger trims its trail. An act has lines of several
// actors, counts of them each, and should have at most most: if it has more, each actor
// keeps its newest lines up to each, so that those who have most lose first and nobody
// pushes another's lines out. A tenth of most becomes free, so that trimming is rare.
//
// An actor keeps one line at least. Where that is still too much, since there are more
// actors than lines, the newest all of these lines are kept.
func UseShare(counts []int, most int) (each, all int) {
	total := 0
	for _, n := range counts {
		total += n
	}
	if total <= most {
		return most, most
	}
	all = max(most-most/10, 1)
	left := all
	counts = slices.Sorted(slices.Values(counts))
	for i, n := range counts {
		each = left / (len(counts) - i)
		if n > each {
			break // so are all that follow: they share what is left
		}
		left -= n
	}
	return max(each, 1), all
}
