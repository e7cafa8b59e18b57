//go:build unix && chaos

package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
)

// verdict is what a run came to.
type verdict struct {
	r     *run
	total report
	kinds map[string]int

	unserved  int           // calls that failed although a live token was in a store that answered
	noneLive  int           // calls that failed while there was no such token
	excused   int           // calls that failed while their process had a trouble
	strayed   int           // strays that reached a user, because the repetition met one too
	slow      int           // calls that waited longer than a second, outside outages
	late      int           // calls that did not work 5 s after the store was back, or 3 s after a token was invalidated
	recovery  time.Duration // from the return of the store, or of a token, on: the longest that a call waited
	issued    int
	wasted    int // of these, those that no store ever had
	beyond    int // of these, those whose holder lost neither the answer nor the save
	incidents int
	overtime  []string // what took longer than it may, and calls that failed: no other work may be the reason
	journals  map[string][]custody.Entry
}

// few calls that failed may be the machine's doing: the engine is tried again on its own.
const few = 2

// judge ends the workers and judges what happened. It fails the test for what must
// not be, except for what only took too long.
func (r *run) judge() *verdict {
	r.t.Helper()
	v := &verdict{r: r, kinds: map[string]int{}}
	v.total = r.fleet.end()
	v.journals = map[string][]custody.Entry{}
	for _, a := range r.accounts {
		v.journals[a.AppID] = r.fleet.journal(r.observer.keys[a.AppID])
	}
	r.observer.stop()
	for id, w := range r.fleet.workers {
		for _, i := range w.incidents {
			v.judge(&i, id)
		}
	}
	if v.unserved > few {
		r.t.Errorf("FAIL: %d calls failed although a live token was in a store that answered, more than %d:\n%s", v.unserved, few, strings.Join(v.overtime, "\n"))
	}
	v.issued = len(r.observer.tokens)
	for _, a := range r.accounts {
		for _, lost := range r.observer.wasted(a.AppID, v.journals[a.AppID]) {
			v.wasted++
			if !v.lost(lost, a.API) {
				v.beyond++
				r.t.Errorf("FAIL: %s, %s: a token was issued to %s at %s, and no store ever had it, although its holder had no trouble%s", a.AppID, a.API, lost.caller, r.when(lost.at), v.around(a.AppID, lost.at))
			}
		}
	}
	v.check()
	return v
}

func (v *verdict) check() {
	t := v.r.t
	if v.total.Calls == 0 || v.issued == 0 || v.total.Own == 0 {
		t.Errorf("FAIL: %d calls, %d tokens, %d calls of the path that is always refused: nothing was proven", v.total.Calls, v.issued, v.total.Own)
	}
	if v.slow*1000 > v.total.Calls {
		v.overtime = append(v.overtime, fmt.Sprintf("%d of %d calls waited longer than a second outside outages: more than 1 in 1,000", v.slow, v.total.Calls))
	}
	windows, ends := 0, 0
	for _, o := range v.r.outages {
		windows, ends = windows+o.windows, ends+o.ends
	}
	if windows == 0 || ends == 0 {
		t.Errorf("FAIL: the outages met %d windows and %d ends of tokens: nothing was proven", windows, ends)
	}
}

// judge judges one call of a worker.
func (v *verdict) judge(i *incident, worker int) {
	o := v.r.observer
	s := i.span()
	waited := i.Took - i.Still - o.still(s)
	if i.Kind == slowCall && waited <= slow {
		return // the machine stood still
	}
	v.incidents++
	v.kinds[i.Kind]++
	excused := v.excuses(s, worker)
	switch stray, repeated := o.strayOf(i.Number); {
	case i.Kind == slowCall && i.Path == refusedPath:
		if waited > most && !excused {
			v.took("waited for its refusal", i, waited)
		}
		return
	case i.Kind == slowCall:
		if !excused && !v.away(s) && i.Began.After(v.r.ready) {
			v.slow++
			v.note("slow outside outages", i, waited)
		}
	case i.Kind == refusedCall && stray && repeated:
		v.strayed++
		v.note("a stray, repeated", i, waited)
		return
	case excused:
		v.excused++
		return
	case i.Kind == cutCall:
		v.fail("did not reach WeChat, although nobody cut its process off", i, waited)
		return
	case i.Kind == refusedCall && stray && !v.away(s) && o.servable(i.AppID, s): // a dead token may meet one, too
		v.fail("a stray refusal reached its user without a repetition", i, waited)
		return
	case i.Kind == noToken && strings.Contains(i.Error, unreachable) && v.spoken(s):
		v.excused++
		return
	case o.servable(i.AppID, s):
		if v.unserved++; v.unserved <= mostShown {
			v.took("failed although a live token was in a store that answered", i, waited)
			v.r.t.Logf("around call %s:%s", i.Number, v.around(i.AppID, i.Began))
		}
		return
	default:
		v.noneLive++
		if i.Kind == refusedCall {
			v.note("refused without a live token in the store", i, waited)
		} else if !v.away(s) {
			v.note("failed without a live token in the store", i, waited)
		}
	}
	v.recovered(i, excused)
}

// recovered judges a call that failed or waited near the end of an outage, or after its
// token was invalidated.
func (v *verdict) recovered(i *incident, excused bool) {
	s := i.span()
	ends := s.to.Add(-v.r.observer.still(s))
	for _, out := range v.r.outages {
		after := ends.Sub(out.to)
		if after <= 0 || i.Began.After(out.to.Add(rest)) || excused || v.sluggish(span{out.to.Add(lookTime), s.to}) {
			continue
		}
		if i.Kind == slowCall {
			v.recovery = max(v.recovery, after)
		}
		if after > recoverTime {
			v.late++
			v.took("not served "+recoverTime.String()+" after the store was back", i, after)
		}
	}
	for _, dead := range v.r.killed {
		after := i.Began.Sub(dead.at) - v.r.observer.still(span{dead.at, i.Began})
		if i.AppID == dead.appID && i.Kind != slowCall && after > repairTime && after < repairTime+time.Second && !v.sluggish(span{dead.at, s.to}) {
			v.late++
			v.took("failed "+repairTime.String()+" after its token was invalidated", i, after)
		}
	}
}

// excuses reports whether a process, or the store's server, had a trouble in s, or has
// just recovered from one.
func (v *verdict) excuses(s span, worker int) bool {
	for _, w := range v.r.windows {
		if (w.victim == worker || w.victim < 0) && s.meets(span{w.from, w.to.Add(recoverTime)}) {
			return true
		}
	}
	return false
}

// spoken reports whether a process was cut off from WeChat during s or just before. It says
// so in the common record, for its machine, and here all run on one.
func (v *verdict) spoken(s span) bool {
	for _, w := range v.r.windows {
		if w.name == cutOff && s.meets(span{w.from, w.to.Add(recoverTime)}) {
			return true
		}
	}
	return false
}

// out reports whether s meets an outage, or a restart of the store.
func (v *verdict) out(s span) bool {
	for _, o := range v.r.outages {
		if s.meets(o.span) {
			return true
		}
	}
	for _, w := range v.r.windows {
		if w.victim < 0 && s.meets(w.span) {
			return true
		}
	}
	return false
}

// away reports whether s meets a time in which the store did not answer or did not
// write, or the time after it in which waiting calls are served.
func (v *verdict) away(s span) bool {
	for _, o := range v.r.outages {
		if s.meets(span{o.from, o.to.Add(recoverTime)}) {
			return true
		}
	}
	return v.sluggish(s)
}

// sluggish reports whether the store, of its own accord, did not answer in good time
// during s or just before: on a machine that has too much to do.
func (v *verdict) sluggish(s span) bool {
	for _, slow := range v.r.observer.unanswered() {
		if s.meets(span{slow.from, slow.to.Add(repairTime)}) {
			return true
		}
	}
	return false
}

// lost reports whether the attempt that brought a token lost its answer or its save.
func (v *verdict) lost(t token, api platform.TokenAPI) bool {
	before := usual.FetchTimeout + usual.SaveTimeout + v.r.observer.still(span{t.at, t.at.Add(usual.FetchTimeout)})
	holder := -1
	for id, w := range v.r.fleet.workers {
		if w.o.address() == t.caller {
			holder = id
		}
	}
	for _, w := range v.r.windows {
		if (w.victim == holder || w.victim < 0) && !t.at.Before(w.from.Add(-before)) && !t.at.After(w.to.Add(usual.SaveTimeout)) {
			return true
		}
	}
	for _, o := range v.r.outages {
		to := o.from.Add(usual.StoreTimeout) // later no fetch can be counted, so none is sent
		if api != platform.Classic {
			to = o.to // it is fetched without the store
		}
		if !t.at.Before(o.from.Add(-before)) && !t.at.After(to) {
			return true
		}
	}
	if holder < 0 {
		return false
	}
	for _, l := range v.r.fleet.workers[holder].losses {
		if after := l.At.Sub(t.at); l.AppID == t.appID && after > -time.Second && after < before+l.Took {
			return true
		}
	}
	return false
}

// around tells what is known of an account in the seconds around a moment.
func (v *verdict) around(appID string, moment time.Time) string {
	const near = 15 * time.Second
	r := v.r
	lines := map[time.Time]string{}
	for _, other := range r.observer.tokens {
		if other.appID == appID {
			lines[other.at] = fmt.Sprintf("issued to %s, seen in the store: %v", other.caller, r.observer.seen[other.value])
		}
	}
	for _, e := range v.journals[appID] {
		lines[e.At] = fmt.Sprintf("journal: %s %d %s %s", e.Event, e.Fence, e.Attempt, e.Detail)
	}
	for id, w := range r.fleet.workers {
		for _, l := range w.losses {
			if l.AppID == appID {
				lines[l.At] = fmt.Sprintf("process %d (%s) lost an attempt of %s", id, w.o.address(), l.Took)
			}
		}
	}
	for _, look := range r.observer.sights {
		if !look.answered() {
			lines[look.from] = fmt.Sprintf("the observer looked for %s: %v", look.to.Sub(look.from), look.err)
		}
	}
	for _, still := range r.observer.stills {
		lines[still.from] = fmt.Sprintf("the machine stood still for %s", still.to.Sub(still.from))
	}
	var b strings.Builder
	for _, at := range slices.SortedFunc(maps.Keys(lines), time.Time.Compare) {
		if d := at.Sub(moment); d > -near && d < near {
			fmt.Fprintf(&b, "\n  %8.3f s: %s", at.Sub(r.began).Seconds(), lines[at])
		}
	}
	return b.String()
}

// history tells the refusals of a call.
func (v *verdict) history(i *incident) (all []string) {
	for _, e := range v.r.observer.bad[i.Number] {
		all = append(all, fmt.Sprintf("at %.3f s, stray: %v", e.Time.Sub(v.r.began).Seconds(), e.Fault))
	}
	return all
}

// most details of one kind that are shown.
const mostShown = 5

func (v *verdict) fail(what string, i *incident, d time.Duration) {
	v.r.t.Helper()
	v.kinds[what]++
	if v.kinds[what] <= mostShown {
		v.r.t.Errorf("FAIL: %s: %s", what, v.describe(i, d))
	}
}

// took keeps what took too long.
func (v *verdict) took(what string, i *incident, d time.Duration) {
	v.kinds[what]++
	if v.kinds[what] <= mostShown {
		v.overtime = append(v.overtime, what+": "+v.describe(i, d))
	}
}

func (v *verdict) note(what string, i *incident, d time.Duration) {
	v.kinds[what]++
	if v.kinds[what] <= mostShown {
		v.r.t.Logf("%s: %s", what, v.describe(i, d))
	}
}

func (v *verdict) describe(i *incident, d time.Duration) string {
	return fmt.Sprintf("call %s of %s to %s at %s, %s after %s (%s), refused %v: %s", i.Number, i.AppID, i.Path, v.r.when(i.Began), i.Kind, i.Took.Round(time.Millisecond), d.Round(time.Millisecond), v.history(i), i.Error)
}

// when tells a time as a span since the run began, and after what.
func (r *run) when(t time.Time) string {
	text := fmt.Sprintf("%.1f s", t.Sub(r.began).Seconds())
	for _, w := range r.windows {
		if t.After(w.from) && t.Before(w.to.Add(rest)) {
			text += fmt.Sprintf(" (%.1f s after %s of %d)", t.Sub(w.from).Seconds(), w.name, w.victim)
		}
	}
	for _, o := range r.outages {
		if t.After(o.from) && t.Before(o.to.Add(2*rest)) {
			text += fmt.Sprintf(" (%.1f s after %s for %s)", t.Sub(o.from).Seconds(), o.name, o.to.Sub(o.from).Round(100*time.Millisecond))
		}
	}
	return text
}

// String returns the figures for people.
func (v *verdict) String() string {
	var b strings.Builder
	r := v.r
	for _, o := range r.outages {
		fmt.Fprintf(&b, "  %s for %s: across %d windows and %d ends\n", o.name, o.to.Sub(o.from).Round(100*time.Millisecond), o.windows, o.ends)
	}
	var slow time.Duration
	for _, s := range r.observer.unanswered() {
		if !v.out(s) {
			slow += s.to.Sub(s.from)
		}
	}
	fmt.Fprintf(&b, "  not answering in good time outside that: %s; this machine stood still for %s\n", slow.Round(time.Millisecond), r.observer.still(span{r.began, time.Now()}).Round(time.Millisecond))
	fmt.Fprintf(&b, "  %d troubles, %d of them invalidated a token; %d tokens issued, %d lost with their holder, %d beyond law 1\n",
		r.troubles, len(r.killed), v.issued, v.wasted-v.beyond, v.beyond)
	fmt.Fprintf(&b, "  %d calls and %d of a path that is always refused; %d strays, of which %d met a second one; %d probes\n",
		v.total.Calls-v.total.Own, v.total.Own, r.observer.strays, v.strayed, r.observer.probes)
	fmt.Fprintf(&b, "  failed: %d with a live token in an answering store, %d without one, %d in a process in trouble; %d late\n",
		v.unserved, v.noneLive, v.excused, v.late)
	fmt.Fprintf(&b, "  slower than 1 s outside outages: %d; the longest wait from the return of the store on %s; with a live token in the process %s\n",
		v.slow, v.recovery.Round(time.Millisecond), v.total.Longest.Round(time.Microsecond))
	return b.String()
}
