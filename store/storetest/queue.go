package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/store"
)

// RunQueue checks a store that is a [store.Queue] as well. options are those of
// [RunWith].
func RunQueue(t *testing.T, options Options) {
	t.Helper()
	if options.Handles <= 0 {
		options.Handles = 4
	}
	for _, c := range []struct {
		name  string
		check func(f *queueFixture)
	}{
		{"PushAndLend", checkQueuePushAndLend},
		{"Empty", checkQueueEmpty},
		{"LanesInOrder", checkQueueLanesInOrder},
		{"LongestFreeFirst", checkQueueLongestFreeFirst},
		{"PushAgain", checkQueuePushAgain},
		{"Wait", checkQueueWait},
		{"Later", checkQueueLater},
		{"LaterOfAnother", checkQueueLaterOfAnother},
		{"LeaseEnds", checkQueueLeaseEnds},
		{"Turn", checkQueueTurn},
		{"DoneOutOfTurn", checkQueueDoneOutOfTurn},
		{"LinesApart", checkQueueLinesApart},
		{"Lines", checkQueueLines},
		{"TrimOld", checkQueueTrimOld},
		{"TrimMany", checkQueueTrimMany},
		{"Sizes", checkQueueSizes},
		{"Refused", checkQueueRefused},
		{"CallersBytes", checkQueueCallersBytes},
		{"OneLender", checkQueueOneLender},
		{"Workers", checkQueueWorkers},
		{"EndedContext", checkQueueEndedContext},
		{"Close", checkQueueClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &queueFixture{T: t}
			for _, st := range newFixture(t, options).handles {
				queue, ok := st.(store.Queue)
				if !ok {
					t.Fatalf("%T is no store.Queue", st)
				}
				f.handles = append(f.handles, queue)
			}
			c.check(f)
		})
	}
}

const queueLine = "wx0123456789abcdef/crm"

// queueFixture is one place for data and the handles on it.
type queueFixture struct {
	*testing.T

	handles []store.Queue
}

func (f *queueFixture) queue(i int) store.Queue { return f.handles[i%len(f.handles)] }

// push pushes deliveries of queueLine into a lane, one after the other.
func (f *queueFixture) push(lane string, ids ...string) {
	f.Helper()
	for i, id := range ids {
		f.pushed(i, store.Delivery{Line: queueLine, Lane: lane, ID: id, Body: []byte("body of " + id)})
	}
}

func (f *queueFixture) pushed(i int, deliveries ...store.Delivery) {
	f.Helper()
	must(f.T, "Push", f.queue(i).Push(in(f.T), deliveries))
}

// lend wants the ids in any order.
func (f *queueFixture) lend(i int, owner string, lease time.Duration, most int, want ...string) []store.Delivery {
	f.Helper()
	lent := f.lent(i, owner, lease, most)
	f.mustBe(lent, owner, want...)
	return lent
}

func (f *queueFixture) lent(i int, owner string, lease time.Duration, most int) []store.Delivery {
	f.Helper()
	lent, err := f.queue(i).Lend(in(f.T), queueLine, owner, lease, most)
	must(f.T, "Lend", err)
	return lent
}

func (f *queueFixture) mustBe(lent []store.Delivery, owner string, want ...string) {
	f.Helper()
	var ids []string
	for _, d := range lent {
		ids = append(ids, d.ID)
	}
	slices.Sort(ids)
	if want = slices.Sorted(slices.Values(want)); !slices.Equal(ids, want) {
		f.Fatalf("Lend gave %q to %s, want %q", ids, owner, want)
	}
}

// within calls attempt, which pushes ids, as [patience.Within] does.
func (f *queueFixture) within(ids []string, attempt func(short time.Duration)) time.Duration {
	f.Helper()
	return patience.Within(f, "pushing and lending", shortLease, func(short time.Duration) {
		f.done(0, ids...) // of the attempt before
		attempt(short)
	})
}

func (f *queueFixture) done(i int, ids ...string) {
	f.Helper()
	for _, id := range ids {
		must(f.T, "Done", f.queue(i).Done(in(f.T), queueLine, id))
	}
}

func (f *queueFixture) later(i int, id, owner string, wait time.Duration) {
	f.Helper()
	must(f.T, "Later", f.queue(i).Later(in(f.T), queueLine, id, owner, wait))
}

func (f *queueFixture) turn(i int, id, owner string, turn, waits bool) {
	f.Helper()
	gotTurn, gotWaits, err := f.queue(i).Turn(in(f.T), queueLine, id, owner)
	must(f.T, "Turn", err)
	if gotTurn != turn || gotWaits != waits {
		f.Fatalf("Turn of %s for %q: turn %v, waits %v; want %v, %v", id, owner, gotTurn, gotWaits, turn, waits)
	}
}

func (f *queueFixture) waiting(i int, want map[string]int) []store.Line {
	f.Helper()
	lines, err := f.queue(i).Lines(in(f.T))
	must(f.T, "Lines", err)
	if len(lines) != len(want) {
		f.Fatalf("Lines: %+v, want %v", lines, want)
	}
	for n, line := range lines {
		if line.Waiting != want[line.Name] || n > 0 && lines[n-1].Name >= line.Name {
			f.Fatalf("Lines: %+v, want %v", lines, want)
		}
	}
	return lines
}

func checkQueuePushAndLend(f *queueFixture) {
	f.push("lane", "first")
	before := time.Now()
	lent := f.lend(1, "owner", longLease, 10, "first")
	d := lent[0]
	if d.Line != queueLine || d.Lane != "lane" || d.Owner != "owner" || string(d.Body) != "body of first" || d.Attempts != 1 {
		f.Fatalf("Lend: %+v with %q", d, d.Body)
	}
	if d.Pushed.IsZero() || d.Pushed.Sub(before).Abs() > 24*time.Hour {
		f.Fatalf("it was pushed at %v", d.Pushed)
	}
	f.lend(2, "other", longLease, 10)
	f.done(0, "first")
	f.waiting(3, nil)
}

func checkQueueEmpty(f *queueFixture) {
	f.pushed(0)
	f.lend(0, "owner", longLease, 10)
	f.done(0, "none")
	f.later(0, "none", "owner", 0)
	f.turn(0, "none", "owner", false, false)
	f.waiting(0, nil)
	dropped, err := f.queue(0).Trim(in(f.T), queueLine, 0, 0)
	must(f.T, "Trim", err)
	if dropped != 0 {
		f.Fatalf("Trim dropped %d of none", dropped)
	}
}

// checkQueueLanesInOrder: of each lane one is lent at a time, the one pushed first.
func checkQueueLanesInOrder(f *queueFixture) {
	f.push("a", "a1", "a2", "a3")
	f.push("b", "b1", "b2")
	f.push("ab", "ab1") // a lane whose name begins with another's
	f.lend(0, "one", longLease, 10, "a1", "b1", "ab1")
	f.lend(1, "two", longLease, 10)
	f.done(2, "b1")
	f.lend(1, "three", longLease, 10, "b2")
	f.done(0, "a1")
	f.lend(3, "four", longLease, 10, "a2")
	f.done(0, "a2", "b2", "ab1")
	f.lend(0, "five", longLease, 10, "a3")
	f.done(1, "a3")
	f.waiting(0, nil)
}

// checkQueueLongestFreeFirst: at most most, and a delivery that was given back does
// not keep others out.
func checkQueueLongestFreeFirst(f *queueFixture) {
	for i := range 6 {
		f.push(fmt.Sprint("lane", i), fmt.Sprint("id", i))
	}
	f.lend(0, "one", longLease, 2, "id0", "id1")
	f.later(0, "id0", "one", 0)
	f.later(0, "id1", "one", 0)
	f.lend(1, "two", longLease, 4, "id2", "id3", "id4", "id5")
	f.lend(1, "three", longLease, 0)
	f.lend(1, "four", longLease, 9, "id0", "id1")
}

func checkQueuePushAgain(f *queueFixture) {
	f.push("lane", "first", "second")
	f.lend(0, "owner", longLease, 10, "first")
	f.pushed(1, store.Delivery{Line: queueLine, Lane: "other", ID: "first", Body: []byte("new")},
		store.Delivery{Line: queueLine, Lane: "lane", ID: "third", Body: []byte("new")})
	f.lend(1, "owner2", longLease, 10)
	f.later(0, "first", "owner", 0)
	lent := f.lend(0, "owner3", longLease, 10, "first")
	if string(lent[0].Body) != "body of first" || lent[0].Attempts != 2 || lent[0].Lane != "lane" {
		f.Fatalf("another Push changed it: %+v with %q", lent[0], lent[0].Body)
	}
	f.waiting(0, map[string]int{queueLine: 3})
	f.done(0, "first", "second", "third")
	f.push("lane", "first") // once it is gone, it is a new one
	f.lend(0, "owner4", longLease, 10, "first")
}

func checkQueueWait(f *queueFixture) {
	var early []store.Delivery
	short := f.within([]string{"first", "second", "other"}, func(short time.Duration) {
		f.pushed(0, store.Delivery{Line: queueLine, Lane: "lane", ID: "first", Body: []byte("x"), Wait: short},
			store.Delivery{Line: queueLine, Lane: "lane", ID: "second", Body: []byte("x")},
			store.Delivery{Line: queueLine, Lane: "other", ID: "other", Body: []byte("x"), Wait: longLease})
		early = f.lent(1, "early", longLease, 10)
	})
	f.mustBe(early, "early")
	wait(f.T, short)
	f.lend(1, "late", longLease, 10, "first")
}

func checkQueueLater(f *queueFixture) {
	var two []store.Delivery
	short := f.within([]string{"first", "second"}, func(short time.Duration) {
		f.push("lane", "first", "second")
		f.lend(0, "one", longLease, 10, "first")
		f.later(1, "first", "one", short)
		two = f.lent(2, "two", longLease, 10)
	})
	f.mustBe(two, "two") // second waits for first
	wait(f.T, short)
	lent := f.lend(0, "three", longLease, 10, "first")
	if lent[0].Attempts != 2 {
		f.Fatalf("%d attempts, want 2", lent[0].Attempts)
	}
}

func checkQueueLaterOfAnother(f *queueFixture) {
	f.push("lane", "first")
	f.lend(0, "one", longLease, 10, "first")
	f.later(0, "first", "two", 0)
	f.later(0, "first", "", 0)
	f.lend(0, "three", longLease, 10)
}

func checkQueueLeaseEnds(f *queueFixture) {
	var two []store.Delivery
	short := f.within([]string{"first", "second"}, func(short time.Duration) {
		f.push("lane", "first", "second")
		f.lend(0, "one", short, 10, "first")
		two = f.lent(1, "two", longLease, 10)
	})
	f.mustBe(two, "two")
	wait(f.T, short)
	f.lend(1, "three", longLease, 10, "first")
	f.later(0, "first", "one", 0) // too late to have a say
	f.lend(0, "four", longLease, 10)
	f.done(0, "first") // but it was delivered all the same
	f.lend(1, "five", longLease, 10, "second")
}

func checkQueueTurn(f *queueFixture) {
	held := func(i int, id string) {
		f.pushed(i, store.Delivery{Line: queueLine, Lane: "lane", ID: id, Body: []byte("x"), Owner: "here", Wait: longLease})
	}
	held(0, "first")
	f.turn(1, "first", "here", true, true)
	f.turn(1, "first", "there", false, true)
	held(1, "second")
	f.turn(0, "second", "here", false, true)
	f.lend(2, "worker", longLease, 10)
	f.done(2, "first")
	f.turn(3, "first", "here", false, false)
	f.turn(3, "second", "here", true, true)
	f.later(0, "second", "here", 0)
	f.turn(0, "second", "here", false, true)
	f.lend(0, "worker2", longLease, 10, "second")
	f.turn(0, "second", "worker2", true, true)
}

func checkQueueDoneOutOfTurn(f *queueFixture) {
	f.push("lane", "first", "second", "third")
	f.done(0, "second")
	f.lend(1, "one", longLease, 10, "first")
	f.done(0, "first")
	f.lend(1, "two", longLease, 10, "third")
}

func checkQueueLinesApart(f *queueFixture) {
	all := []string{queueLine, queueLine + "2", strings.ToUpper(queueLine), "{" + queueLine + "}", queueLine + "%", "'" + queueLine}
	for i, line := range all {
		f.pushed(i, store.Delivery{Line: line, Lane: "lane", ID: "id", Body: []byte(line)})
	}
	for i, line := range all {
		lent, err := f.queue(i).Lend(in(f.T), line, "owner", longLease, 10)
		must(f.T, "Lend", err)
		if len(lent) != 1 || string(lent[0].Body) != line || lent[0].Line != line {
			f.Fatalf("Lend of %s: %+v", line, lent)
		}
		must(f.T, "Done", f.queue(i).Done(in(f.T), line, "id"))
	}
	f.waiting(0, nil)
}

func checkQueueLines(f *queueFixture) {
	f.push("lane", "first")
	wait(f.T, shortLease)
	f.push("lane", "second")
	f.pushed(0, store.Delivery{Line: "another", Lane: "lane", ID: "id", Body: []byte("x"), Wait: longLease})
	lines := f.waiting(1, map[string]int{queueLine: 2, "another": 1})
	if another, crm := lines[0], lines[1]; crm.Oldest < shortLease || crm.Oldest > callTime || crm.Free != 0 ||
		another.Oldest > callTime || another.Free > longLease || another.Free < longLease-callTime {
		f.Fatalf("Lines: %+v", lines)
	}
	f.lend(0, "owner", longLease, 10, "first")
	f.waiting(1, map[string]int{queueLine: 2, "another": 1})
}

func checkQueueTrimOld(f *queueFixture) {
	f.push("lane", "first", "second")
	wait(f.T, 200*time.Millisecond)
	f.push("lane", "third")
	dropped, err := f.queue(1).Trim(in(f.T), queueLine, longLease, 10)
	must(f.T, "Trim", err)
	if dropped != 0 {
		f.Fatalf("Trim dropped %d of which none is old", dropped)
	}
	dropped, err = f.queue(1).Trim(in(f.T), queueLine, 100*time.Millisecond, 10)
	must(f.T, "Trim", err)
	if dropped < 2 { // on a busy machine third may be old as well
		f.Fatalf("Trim dropped %d, want 2", dropped)
	}
	if dropped == 2 {
		f.lend(0, "owner", longLease, 10, "third")
	}
}

func checkQueueTrimMany(f *queueFixture) {
	f.push("a", "a1", "a2")
	f.push("b", "b1", "b2")
	f.lend(0, "owner", longLease, 1, "a1")
	dropped, err := f.queue(1).Trim(in(f.T), queueLine, longLease, 3)
	must(f.T, "Trim", err)
	if dropped != 1 {
		f.Fatalf("Trim to 3 of 4 dropped %d", dropped)
	}
	f.lend(0, "owner2", longLease, 10, "a2", "b1")
	f.later(0, "a1", "owner", 0) // what was dropped does not come back
	f.waiting(0, map[string]int{queueLine: 3})
}

func checkQueueSizes(f *queueFixture) {
	body := bytes.Repeat([]byte{0, 1, 0xff, '\n'}, store.MaxDeliveryBytes/4)
	d := store.Delivery{
		Line: strings.Repeat("l", store.MaxLineBytes), Lane: strings.Repeat("a", store.MaxDeliveryName),
		ID: strings.Repeat("i", store.MaxDeliveryName), Body: body,
	}
	f.pushed(0, d)
	owner := strings.Repeat("o", store.MaxDeliveryName)
	lent, err := f.queue(1).Lend(in(f.T), d.Line, owner, longLease, 1)
	must(f.T, "Lend", err)
	if len(lent) != 1 || !bytes.Equal(lent[0].Body, body) || lent[0].ID != d.ID || lent[0].Lane != d.Lane || lent[0].Owner != owner {
		f.Fatalf("Lend gave back something else than was pushed")
	}
	must(f.T, "Later", f.queue(1).Later(in(f.T), d.Line, d.ID, owner, 0))

	many := make([]store.Delivery, store.MaxPush)
	want := make([]string, len(many))
	for i := range many {
		want[i] = fmt.Sprint("id", i)
		many[i] = store.Delivery{Line: queueLine, Lane: want[i], ID: want[i], Body: []byte("x")}
	}
	f.pushed(0, many...)
	f.lend(0, "owner", longLease, len(many), want...)
}

func checkQueueRefused(f *queueFixture) {
	good := store.Delivery{Line: queueLine, Lane: "lane", ID: "id", Body: []byte("x")}
	for name, change := range map[string]func(*store.Delivery){
		"no line":      func(d *store.Delivery) { d.Line = "" },
		"a long line":  func(d *store.Delivery) { d.Line = strings.Repeat("l", store.MaxLineBytes+1) },
		"no lane":      func(d *store.Delivery) { d.Lane = "" },
		"a newline":    func(d *store.Delivery) { d.Lane = "a\nb" },
		"a long id":    func(d *store.Delivery) { d.ID = strings.Repeat("i", store.MaxDeliveryName+1) },
		"no ASCII":     func(d *store.Delivery) { d.ID = "中" },
		"a long owner": func(d *store.Delivery) { d.Owner = strings.Repeat("o", store.MaxDeliveryName+1) },
		"no body":      func(d *store.Delivery) { d.Body = nil },
		"a long body":  func(d *store.Delivery) { d.Body = make([]byte, store.MaxDeliveryBytes+1) },
		"less than 0":  func(d *store.Delivery) { d.Wait = -1 },
	} {
		bad := good
		change(&bad)
		if err := f.queue(0).Push(in(f.T), []store.Delivery{bad}); err == nil {
			f.Errorf("Push with %s: no error", name)
		}
	}
	if err := f.queue(0).Push(in(f.T), slices.Repeat([]store.Delivery{good}, store.MaxPush+1)); err == nil {
		f.Error("Push of more than MaxPush: no error")
	}
	f.waiting(0, nil)
}

func checkQueueCallersBytes(f *queueFixture) {
	given := []byte("body")
	f.pushed(0, store.Delivery{Line: queueLine, Lane: "lane", ID: "id", Body: given})
	copy(given, "BODY")
	lent := f.lend(0, "one", longLease, 1, "id")
	if string(lent[0].Body) != "body" {
		f.Fatalf("the store holds the caller's bytes: %q", lent[0].Body)
	}
	copy(lent[0].Body, "BODY")
	f.later(0, "id", "one", 0)
	if lent = f.lend(0, "two", longLease, 1, "id"); string(lent[0].Body) != "body" {
		f.Fatalf("the store gives its bytes away: %q", lent[0].Body)
	}
}

// checkQueueOneLender: of many at once, one is given each delivery.
func checkQueueOneLender(f *queueFixture) {
	const deliveries = 20
	for i := range deliveries {
		f.push(fmt.Sprint("lane", i), fmt.Sprint("id", i))
	}
	var mu sync.Mutex
	owners := map[string][]string{}
	each(8, func(i int) {
		owner := fmt.Sprint("owner", i)
		lent, err := f.queue(i).Lend(in(f.T), queueLine, owner, longLease, 5)
		if err != nil {
			f.Errorf("Lend: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, d := range lent {
			owners[d.ID] = append(owners[d.ID], owner)
		}
	})
	for id, of := range owners {
		if len(of) != 1 {
			f.Errorf("%s was lent to %q", id, of)
		}
	}
	rest, err := f.queue(0).Lend(in(f.T), queueLine, "rest", longLease, deliveries)
	must(f.T, "Lend", err)
	if len(owners)+len(rest) != deliveries {
		f.Errorf("%d and %d were lent of %d", len(owners), len(rest), deliveries)
	}
}

// checkQueueWorkers: many push, many deliver, some of those fail: everything is
// delivered once, in the order of its lane.
func checkQueueWorkers(f *queueFixture) {
	const lanes, each = 5, 12
	ctx, cancel := context.WithTimeout(f.Context(), callTime)
	defer cancel()
	w := &queueWorkers{queueFixture: f, got: map[string][]string{}, left: lanes * each}
	var group sync.WaitGroup
	for lane := range lanes {
		group.Go(func() {
			for n := range each {
				d := store.Delivery{Line: queueLine, Lane: fmt.Sprint("lane", lane), ID: fmt.Sprintf("%d-%02d", lane, n), Body: []byte("x")}
				if err := f.queue(lane).Push(ctx, []store.Delivery{d}); err != nil {
					f.Errorf("Push: %v", err)
					cancel()
					return
				}
			}
		})
	}
	for worker := range 4 {
		group.Go(func() {
			turn := 0
			for ctx.Err() == nil && !w.done() && w.turn(ctx, worker, turn) {
				turn++
			}
		})
	}
	group.Wait()
	for lane := range lanes {
		ids := w.got[fmt.Sprint("lane", lane)]
		if len(ids) != each || !slices.IsSorted(ids) {
			f.Errorf("lane %d: %d of %d were delivered, as %q", lane, len(ids), each, ids)
		}
	}
	f.waiting(0, nil)
}

// queueWorkers deliver from one line.
type queueWorkers struct {
	*queueFixture

	mu   sync.Mutex          // guards what follows
	got  map[string][]string // the deliveries of each lane, as they were made
	left int
}

func (w *queueWorkers) done() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left == 0
}

// turn lends some deliveries to a worker, which fails with every fourth. It reports
// whether there can be another turn.
func (w *queueWorkers) turn(ctx context.Context, worker, turn int) bool {
	owner := fmt.Sprintf("worker-%d-%d", worker, turn)
	lent, err := w.queue(worker).Lend(ctx, queueLine, owner, longLease, 3)
	if err != nil {
		w.Errorf("Lend: %v", err)
		return false
	}
	if len(lent) == 0 {
		wait(w.T, time.Millisecond)
	}
	for i, d := range lent {
		if (turn+i)%4 == 3 {
			if err := w.queue(worker).Later(ctx, queueLine, d.ID, owner, 0); err != nil {
				w.Errorf("Later: %v", err)
			}
			continue
		}
		w.mu.Lock()
		w.got[d.Lane] = append(w.got[d.Lane], d.ID)
		w.left--
		w.mu.Unlock()
		if err := w.queue(worker).Done(ctx, queueLine, d.ID); err != nil {
			w.Errorf("Done: %v", err)
		}
	}
	return true
}

func checkQueueEndedContext(f *queueFixture) {
	ended, cancel := context.WithCancel(f.Context())
	cancel()
	if err := f.queue(0).Push(ended, []store.Delivery{{Line: queueLine, Lane: "lane", ID: "id", Body: []byte("x")}}); err == nil {
		f.Error("Push with an ended context: no error")
	}
	if _, err := f.queue(0).Lend(ended, queueLine, "owner", longLease, 1); err == nil {
		f.Error("Lend with an ended context: no error")
	}
	if _, err := f.queue(0).Lines(ended); err == nil {
		f.Error("Lines with an ended context: no error")
	}
}

func checkQueueClose(f *queueFixture) {
	st := f.queue(0)
	must(f.T, "Close", st.(interface{ Close() error }).Close())
	if err := st.Push(in(f.T), []store.Delivery{{Line: queueLine, Lane: "lane", ID: "id", Body: []byte("x")}}); err == nil {
		f.Error("Push on a closed st: no error")
	}
	if _, err := st.Lend(in(f.T), queueLine, "owner", longLease, 1); err == nil {
		f.Error("Lend on a closed st: no error")
	}
}
