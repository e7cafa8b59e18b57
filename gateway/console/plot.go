package console

import (
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/lang"
)

const (
	day      = 24 * time.Hour   // what a plot shows
	quarter  = 15 * time.Minute // one of its bars: a gateway.Bucket
	quarters = int(day / quarter)
)

// bucket is what happened in a quarter of an hour.
type bucket struct {
	Calls    int // of programs, at this gateway
	Errors   int // of Calls, those that were answered with an errcode
	Renewals int // tokens that were renewed
	Refusals int // tokens that WeChat refused before their time
	Failures int // attempts without a token
}

func (b bucket) plus(c bucket) bucket {
	return bucket{b.Calls + c.Calls, b.Errors + c.Errors, b.Renewals + c.Renewals, b.Refusals + c.Refusals, b.Failures + c.Failures}
}

// past is the last day, oldest first. The last bucket is the quarter of an hour that
// is under way.
type past struct {
	end     time.Time // of the last bucket
	known   int       // the first bucket whose calls are known
	buckets [quarters]bucket
}

// count takes what a gateway has counted since it started: the calls, and the token's moments
// where no journal tells them.
func (p *past) count(history []gateway.Bucket, started time.Time, moments bool) {
	for i := range p.buckets {
		if p.end.Add(time.Duration(i+1-quarters) * quarter).After(started) {
			p.known = i
			break
		}
	}
	for _, b := range history {
		at := p.at(b.Start)
		if at == nil {
			continue
		}
		at.Calls, at.Errors = at.Calls+b.Calls, at.Errors+b.Errors
		if moments {
			*at = at.plus(bucket{Renewals: b.Renewals, Refusals: b.Refusals, Failures: b.Failures})
		}
	}
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

// plotView is the last day as a picture and as a table. The bars of the calls stand on the
// line; what became of the token is below it.
type plotView struct {
	v     *view
	past  *past
	ID    string
	Scope string // whose it is, in words
}

// By says who has seen the token's moments.
func (p plotView) By() string { return p.v.Scope() }

// T says a text.
func (p plotView) T(text string, args ...any) string { return p.v.T(text, args...) }

// The picture's measures; CSS stretches it.
const (
	barWidth  = 10
	barGap    = 2
	upHeight  = 110
	lowHeight = 50
)

// Width and Height are the picture's.
func (plotView) Width() int  { return quarters * barWidth }
func (plotView) Height() int { return upHeight + lowHeight + 2 }

// Middle is where the line is.
func (plotView) Middle() int { return upHeight + 1 }

// Unknown is how far the time goes before this gateway counted calls.
func (p plotView) Unknown() int { return p.past.known * barWidth }

// bar is a rectangle of the picture; Class says what of.
type bar struct {
	Class      string
	X, Y, W, H int
}

// column is a quarter of an hour in the picture.
type column struct {
	Bars  []bar
	X     int
	Title string
}

// Columns are the quarters of an hour in which something happened. Calls are many and
// moments of a token few, so that each has a scale of its own; errors have that of the calls.
func (p plotView) Columns() []column {
	up, low := 1, 1
	for _, b := range p.past.buckets {
		up, low = max(up, b.Calls), max(low, b.Renewals+b.Refusals+b.Failures)
	}
	height := func(n int, unit float64) int {
		if n == 0 {
			return 0
		}
		return max(3, int(float64(n)*unit))
	}
	calls, moments := float64(upHeight)/float64(up), min(float64(lowHeight)/float64(low), 14)
	var columns []column
	for i, b := range p.past.buckets {
		if b == (bucket{}) {
			continue
		}
		c := column{X: i * barWidth, Title: p.title(i, b)}
		put := func(class string, y, h int) {
			if h > 0 {
				c.Bars = append(c.Bars, bar{class, i*barWidth + barGap/2, y, barWidth - barGap, h})
			}
		}
		errors := min(height(b.Errors, calls), upHeight)
		whole, at := max(height(b.Calls, calls), errors), upHeight+2
		put("calls", upHeight-whole, whole-errors)
		put("errors", upHeight-errors, errors)
		for _, m := range []struct {
			class string
			n     int
		}{{"renewals", b.Renewals}, {"refusals", b.Refusals}, {"failures", b.Failures}} {
			h := min(height(m.n, moments), upHeight+2+lowHeight-at)
			put(m.class, at, h)
			at += h
		}
		columns = append(columns, c)
	}
	return columns
}

// title says what a column shows.
func (p plotView) title(i int, b bucket) string {
	return p.ago(quarters-1-i) + p.T(": ") + p.words(b, i >= p.past.known)
}

// words are a bucket in words; known reports whether its calls are.
func (p plotView) words(b bucket, known bool) string {
	words := p.T("renewed %[1]d×, refused %[2]d×, failed %[3]d×", b.Renewals, b.Refusals, b.Failures)
	if !known {
		return words
	}
	return p.T("%[1]s calls, %[2]s with an errcode", lang.Number(b.Calls), lang.Number(b.Errors)) + p.T("; token: ") + words
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
func (p plotView) Words() string { return p.Scope + p.T(": ") + p.words(p.Total(), true) }

// hour is a line of the table.
type hour struct {
	From, To time.Time
	bucket

	Known bool // its calls, all of them
}

// Hours is the table, newest first: the hours in which something happened.
func (p plotView) Hours() []hour {
	var all []hour
	for last := quarters; last > 0; last -= 4 {
		h := hour{
			From: p.past.end.Add(time.Duration(last-4-quarters) * quarter), To: p.past.end.Add(time.Duration(last-quarters) * quarter),
			Known: last > p.past.known,
		}
		for _, b := range p.past.buckets[last-4 : last] {
			h.bucket = h.plus(b)
		}
		if h.bucket != (bucket{}) {
			all = append(all, h)
		}
	}
	return all
}
