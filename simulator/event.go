package simulator

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// Event is one request as the simulator saw it: a call of its API, or a push of
// its own.
type Event struct {
	Time     time.Time // when it arrived or left, by Simulator.Clock
	AppID    string    // whose it was; "" when that could not be told
	Push     bool      // the simulator sent it: Method, Path and Query are those of the app's URL
	Caller   string    // the IP it came from; of a push the host it went to
	Method   string
	Path     string
	Query    string        // raw, with everything that was in it
	Request  string        // the first 4 KiB of the body
	Status   int           // the HTTP status; 0 when there was no answer
	Errcode  int           // of the answer, also of one that was lost
	Response string        // the first 4 KiB of the answer, also of one that was lost
	Fault    bool          // a fault happened to it
	Lost     bool          // the caller did not get the whole answer
	Latency  time.Duration // real time
}

// maxEventBody bounds what an Event keeps of a body.
const maxEventBody = 4 << 10

// Events returns the last requests, oldest first, at most Options.Events.
func (s *Simulator) Events() []Event { return s.events.all() }

func (s *Simulator) note(e Event) {
	s.events.add(e)
	if s.options.Observe != nil {
		s.options.Observe(e)
	}
}

// excerpt returns what an Event keeps of a body.
func excerpt(body string) string {
	if len(body) <= maxEventBody {
		if utf8.ValidString(body) {
			return body
		}
		return fmt.Sprintf("(%d bytes)", len(body))
	}
	end := maxEventBody
	for end > maxEventBody-utf8.UTFMax && !utf8.RuneStart(body[end]) {
		end-- // not in the middle of a character
	}
	if !utf8.ValidString(body[:end]) {
		return fmt.Sprintf("(%d bytes)", len(body))
	}
	return string([]byte(body[:end])) // a copy: the rest need not be kept for it
}
