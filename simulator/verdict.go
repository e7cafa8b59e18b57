package simulator

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Verdict is what WeChat makes of an app's answer.
type Verdict string

// The verdicts.
const (
	Replied  Verdict = "replied"  // the follower sees the reply
	Silent   Verdict = "silent"   // all is well, and the follower sees nothing
	Failed   Verdict = "failed"   // the follower sees the failure line; of a verification: the console refuses the address
	Verified Verdict = "verified" // the console takes the address
	Refused  Verdict = "refused"  // the app refused an attack
	Accepted Verdict = "accepted" // the app fell for an attack
)

// Result is how a push ended: what a test of an app asserts.
type Result struct {
	Verdict    Verdict
	Reason     string     // why, in words, and what to do
	Sees       string     // what the follower sees, or of a verification the console; "" is nothing
	Reply      *Reply     // what the app answered; nil when that is no reply
	Notes      []string   // what works, or may work, but is better otherwise
	Deliveries []Delivery // what was sent, and what came back
}

// OK reports whether all is as it should be.
func (r Result) OK() bool { return r.Verdict != Failed && r.Verdict != Accepted }

// String tells the verdict, the reason and what the follower sees.
func (r Result) String() string {
	s := string(r.Verdict) + ": " + r.Reason
	if r.Sees != "" {
		s += "; seen: " + r.Sees
	}
	return s
}

func (r *Result) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

func (r *Result) fail(sees, format string, args ...any) {
	r.Verdict, r.Reason, r.Sees, r.Reply = Failed, fmt.Sprintf(format, args...), sees, nil
}

// Delivery is one request to the app and its answer, byte for byte, for a test that looks
// behind the verdict.
type Delivery struct {
	URL     string        // with the query
	Request string        // the body that was sent
	At      time.Time     // when it was sent, by this machine's clock
	Took    time.Duration // until the answer was complete, or there was none
	Status  int           // 0 when there was no answer
	Header  http.Header
	Body    string // at most 1 MiB
	Err     error  // why there was no answer
}

// outcome says in words how a delivery went.
func (d Delivery) outcome() string {
	switch {
	case errors.Is(d.Err, errSlow):
		return "no answer in time"
	case d.Err != nil:
		return "no answer: " + d.Err.Error()
	case d.Status >= 300 && d.Status < 400:
		return fmt.Sprintf("it answered %s to %s, and WeChat does not follow redirects", status(d.Status), d.Header.Get("Location"))
	case d.Status != http.StatusOK:
		return fmt.Sprintf("it answered %s", status(d.Status))
	default:
		return "it answered 200"
	}
}

func status(code int) string {
	if text := http.StatusText(code); text != "" {
		return strconv.Itoa(code) + " " + text
	}
	return strconv.Itoa(code)
}

var errSlow = errors.New("it took too long")
