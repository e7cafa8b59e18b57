package custody

import (
	"slices"
	"time"
)

const (
	probeGap      = time.Second      // between two probes of one value by one process
	quarantineGap = 10 * time.Second // between two probes for a path that is refused while probes accept
	maxPaths      = 1024             // remembered of one value
)

// report is one call of Reject about the current value, until it has its answer.
type report struct {
	call *Call
	look bool // a look at the store is enough: no probe is due for it

	done  chan struct{} // closed with the answer
	again bool          // the issuer accepts the value: send the call again with it
	err   error         // there is nothing else to be had; with neither, the current value is looked at again
}

func (r *report) answer(again bool, err error) {
	r.again, r.err = again, err
	close(r.done)
}

// answered reports whether the answer is there.
func (r *report) answered() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// refusals is what a Keeper knows of the refusals of its current value.
type refusals struct {
	value   Secret
	probed  time.Time // when the last probe of it was sent
	verdict Verdict   // of that probe
	doubt   bool      // the issuer refuses it
	lived   time.Time // the last evidence that it works
	reports []*report // that wait for an answer
	denied  *denial   // what the last ones were told where nothing could be done; nil for none
	paths   map[string]*quarantine
}

// denial is the answer to refusals about which nothing can be done for now.
type denial struct {
	err error
	at  time.Time
}

// quarantine is what is known of a path that was refused although probes accept.
type quarantine struct {
	since  time.Time
	probed time.Time // the last probe for this path
}

// of returns the refusals of value; those of another one end.
func (r *refusals) of(value Secret) *refusals {
	if !r.value.Equal(value) {
		for _, old := range r.reports {
			old.answer(false, nil)
		}
		*r = refusals{value: value}
	}
	return r
}

// add takes a report. It is answered at once where nothing needs to be asked.
func (r *refusals) add(call *Call, now time.Time) *report {
	report := &report{call: call, done: make(chan struct{})}
	r.lived = later(r.lived, call.Lived)
	path := r.paths[call.Path]
	if path != nil && call.Worked.After(path.since) {
		delete(r.paths, call.Path)
		path = nil
	}
	switch fresh := r.verdict == Accepted && now.Sub(r.probed) < probeGap; {
	case path != nil && now.Sub(path.probed) < quarantineGap:
		report.look = true
	case path != nil:
		path.probed = now
	case fresh && !call.resent && call.accepted == 0 && !call.Worked.IsZero():
		call.resent = true
		report.answer(true, nil)
		return report
	}
	r.reports = append(r.reports, report)
	return report
}

// probing returns the reports that the next probe answers.
func (r *refusals) probing() (reports []*report) {
	for _, report := range r.reports {
		if !report.look {
			reports = append(reports, report)
		}
	}
	return reports
}

// accepted answers the reports that asked for a probe which accepted the value. A call
// that meets this twice is on a path with a reason of its own, and the path is
// quarantined.
func (r *refusals) accepted(asked []*report, now time.Time, refusedError error) {
	r.doubt, r.lived, r.denied = false, now, nil
	for _, report := range asked {
		call := report.call
		call.accepted++
		known := r.paths[call.Path] != nil
		if call.accepted > 1 && call.Path != "" && !known {
			if r.paths == nil || len(r.paths) >= maxPaths {
				r.paths = map[string]*quarantine{}
			}
			r.paths[call.Path] = &quarantine{since: now, probed: now}
		}
		if known || call.accepted > 1 {
			report.answer(false, refusedError)
		} else {
			report.answer(true, nil)
		}
	}
	r.drop(asked)
}

// end gives all reports that wait, or those that only wait for a look, the answer err.
func (r *refusals) end(lookOnly bool, err error) {
	var ended []*report
	for _, report := range r.reports {
		if report.look || !lookOnly {
			report.answer(false, err)
			ended = append(ended, report)
		}
	}
	r.drop(ended)
}

func (r *refusals) drop(reports []*report) {
	r.reports = slices.DeleteFunc(r.reports, func(report *report) bool { return slices.Contains(reports, report) })
}
