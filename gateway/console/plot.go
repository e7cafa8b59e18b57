package console

import (
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/lang"
)

const (
	day      = 24 * time.Hour   // what a plot shows
	quarter  = 15 * time.Minute // one of its bars: a gateway.Bucket
	quarters = int(day / quarter)
)

// bucket is what happened in a quarter of an hour.
type bucket struct {
	Renewals int // tokens that were renewed
	Refusals int // tokens that WeChat refused before their time
	Failures int // attempts without a token
}

func (b bucket) plus(c bucket) bucket {
	return bucket{b.Renewals + c.Renewals, b.Refusals + c.Refusals, b.Failures + c.Failures}
}

// past is the last day, oldest first. The last bucket is the quarter of an hour that
// is under way.
type past struct {
	end     time.Time // of the last bucket
	buckets [quarters]bucket
}

func newPast(now time.Time) *past { return &past{end: now.Truncate(quarter).Add(quarter)} }

// at returns the bucket of a time, nil outside of the day. What a store's clock has
// ahead of this one's is now.
func (p *past) at(t time.Time) *bucket {
	if !t.Before(p.end) {
		return &p.buckets[quarters-1]
	}
	i := quarters - 1 - int((p.end.Sub(t)-1)/quarter)
	if i < 0 {
		return nil
	}
	return &p.buckets[i]
}

// add counts what a journal tells.
func (p *past) add(entries []custody.Entry) {
	for _, e := range entries {
		b := p.at(e.At)
		switch {
		case b == nil:
		case e.Event == custody.EventSave:
			b.Renewals++
		case e.Event == custody.EventRelease && e.Detail != "":
			b.Failures++
		case e.Event == custody.EventBegin && strings.HasPrefix(e.Detail, reasonRefused):
			b.Refusals++
		}
	}
}

// plotView is the last day as a picture and as a table. The bars of renewals stand on
// the line in the middle, what went wrong hangs below it.
type plotView struct {
	v     *view
	past  *past
	ID    string
	Scope string // whose it is, in words
}

// T says a text.
func (p plotView) T(text string, args ...any) string { return p.v.T(text, args...) }

// The picture's measures; CSS stretches it.
const (
	barWidth  = 10
	barGap    = 2
	upHeight  = 100
	lowHeight = 60
)

// Width and Height are the picture's.
func (plotView) Width() int  { return quarters * barWidth }
func (plotView) Height() int { return upHeight + lowHeight + 2 }

// Middle is where the line is.
func (plotView) Middle() int { return upHeight + 1 }

// bar is a rectangle of the picture.
type bar struct{ X, Y, W, H int }

// column is a quarter of an hour in the picture.
type column struct {
	Renewals, Refusals, Failures bar
	X                            int
	Title                        string
}

// Most is the highest bar's number, above and below.
func (p plotView) Most() int {
	most := 0
	for _, b := range p.past.buckets {
		most = max(most, b.Renewals, b.Refusals+b.Failures)
	}
	return most
}

// Columns are the quarters of an hour in which something happened.
func (p plotView) Columns() []column {
	// One scale for both directions, so that two failures look like two renewals.
	up, low := 1, 1
	for _, b := range p.past.buckets {
		up, low = max(up, b.Renewals), max(low, b.Refusals+b.Failures)
	}
	unit := min(float64(upHeight)/float64(up), float64(lowHeight)/float64(low), 24)
	height := func(n int) int {
		if n == 0 {
			return 0
		}
		return max(3, int(float64(n)*unit))
	}
	var all []column
	for i, b := range p.past.buckets {
		if b == (bucket{}) {
			continue
		}
		x := i*barWidth + barGap/2
		c := column{X: i * barWidth, Title: p.title(i, b)}
		c.Renewals = bar{x, upHeight - height(b.Renewals), barWidth - barGap, height(b.Renewals)}
		c.Failures = bar{x, upHeight + 2, barWidth - barGap, min(height(b.Failures), lowHeight)}
		c.Refusals = bar{x, upHeight + 2 + c.Failures.H, barWidth - barGap, min(height(b.Refusals), lowHeight-c.Failures.H)}
		all = append(all, c)
	}
	return all
}

// title says what a column shows.
func (p plotView) title(i int, b bucket) string {
	return p.ago(quarters-1-i) + p.T(": ") + p.T("%[1]d renewed, %[2]d refused, %[3]d failed", b.Renewals, b.Refusals, b.Failures)
}

// ago says when a bucket was.
func (p plotView) ago(back int) string {
	if back == 0 {
		return p.T("now")
	}
	return p.T("%s ago", p.v.span(time.Duration(back)*quarter))
}

// Total is the sum of the day.
func (p plotView) Total() bucket {
	var sum bucket
	for _, b := range p.past.buckets {
		sum = sum.plus(b)
	}
	return sum
}

// Number writes a number.
func (plotView) Number(n int) string { return lang.Number(n) }

// Words are the day in a sentence.
func (p plotView) Words() string {
	sum := p.Total()
	return p.Scope + p.T(": ") + p.T("%[1]d renewed, %[2]d refused, %[3]d failed", sum.Renewals, sum.Refusals, sum.Failures)
}

// hour is a line of the table.
type hour struct {
	From, To time.Time
	bucket
}

// Hours is the table, newest first: the hours in which something happened.
func (p plotView) Hours() []hour {
	var all []hour
	for last := quarters; last > 0; last -= 4 {
		h := hour{From: p.past.end.Add(time.Duration(last-4-quarters) * quarter), To: p.past.end.Add(time.Duration(last-quarters) * quarter)}
		for _, b := range p.past.buckets[last-4 : last] {
			h.bucket = h.plus(b)
		}
		if h.bucket != (bucket{}) {
			all = append(all, h)
		}
	}
	return all
}
