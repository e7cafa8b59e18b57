package simulator

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// Event is one request as the simulator saw it: a call of its API, or a push of
// its own. A test reads from it what the program sent, and a log shows it.
type Event struct {
	Time     time.Time     `json:"time"`       // when it arrived or left, by Simulator.Clock
	AppID    string        `json:"appid"`      // whose it was; "" when that could not be told
	Push     bool          `json:"push"`       // the simulator sent it: Method, Path and Query are those of the app's URL
	Caller   string        `json:"caller"`     // the IP it came from; of a push the host it went to
	Method   string        `json:"method"`     // of the request, as HTTP writes it
	Path     string        `json:"path"`       // without the query, which may hold secrets
	Query    string        `json:"query"`      // raw, with everything that was in it
	Request  string        `json:"request"`    // the first 4 KiB of the body
	Status   int           `json:"status"`     // the HTTP status; 0 when there was no answer
	Errcode  int           `json:"errcode"`    // of the answer, also of one that was lost
	Response string        `json:"response"`   // the first 4 KiB of the answer, also of one that was lost
	Fault    bool          `json:"fault"`      // a fault happened to it
	Lost     bool          `json:"lost"`       // the caller did not get the whole answer
	Latency  time.Duration `json:"latency_ns"` // real time

	// What follows belongs to pushes; a verification has no MsgID and Message.
	MsgID   int64   `json:"msg_id,omitempty"`  // the message's, also where it is not written: the deliveries of a message share it
	Mode    Mode    `json:"mode,omitempty"`    // how it was sent
	Attack  Attack  `json:"attack,omitempty"`  // what was forged
	Message string  `json:"message,omitempty"` // the first 4 KiB of the message, in plain text in every mode
	Reply   string  `json:"reply,omitempty"`   // the first 4 KiB of the reply, likewise; "" when the answer was none
	Verdict Verdict `json:"verdict,omitempty"` // how the push ended; "" when another delivery follows
	Reason  string  `json:"reason,omitempty"`  // as in Result
	Sees    string  `json:"sees,omitempty"`    // likewise
}

// maxEventBody bounds what an Event keeps of a body.
const maxEventBody = 4 << 10

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
