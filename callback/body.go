package callback

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
)

// ReadBody reads the body of a push. Of one that is larger than [MaxBody] it reads
// MaxBody+1 bytes, which Open refuses. It compares what came with the Content-Length:
// where less came although the connection is intact, something in this program has read
// the body before, or allows less of it, and the error is an [*Error] with
// [ReasonBodyRead]. Any other error is the connection's.
//
// [Verifier.OpenRequest] reads and opens in one step.
func ReadBody(r *http.Request) ([]byte, error) { return readBody(r, nil) }

// usualBody is the room that a request gets only because of what it says about itself.
const usualBody = 16 << 10

// readBody reads into the room of body.
func readBody(r *http.Request, body []byte) ([]byte, error) {
	body = body[:0]
	size := r.ContentLength
	if size > MaxBody {
		return make([]byte, MaxBody+1), nil // nothing is read, and Open says what is wrong
	}
	if r.Body != nil { // a request that no server made
		body = slices.Grow(body, int(min(max(size, 4<<10-1), usualBody))+1) // a byte more, to meet the end
	}
	for r.Body != nil && len(body) <= MaxBody {
		if len(body) == cap(body) {
			body = append(make([]byte, 0, min(2*cap(body), MaxBody+1)), body...)
		}
		n, err := r.Body.Read(body[len(body):min(cap(body), MaxBody+1)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if limit, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return body, refuse(ReasonBodyRead, "something in front of this one allows bodies of "+strconv.FormatInt(limit.Limit, 10)+
				" bytes (http.MaxBytesReader), fewer than the push has: allow "+strconv.Itoa(MaxBody))
		}
		if err != nil {
			return body, err
		}
	}
	if int64(len(body)) < size {
		return body, errBodyRead
	}
	return body, nil
}

var errBodyRead = refuse(ReasonBodyRead, "the body of the push is empty or shorter than its Content-Length, though its signature "+
	"is right: something in front, such as a middleware that logs bodies, has read it before; register this one first, "+
	"or have the other one put the body back (r.Body = io.NopCloser(bytes.NewReader(body)))")

// unsuited returns what something in front has made of a body. WeChat sends no empty ones
// and compresses none.
func unsuited(r *http.Request, body []byte) error {
	encoding := r.Header.Get("Content-Encoding")
	switch {
	case len(body) == 0:
		return errBodyRead
	case encoding == "", encoding == "identity":
		return nil
	default:
		if text := bytes.TrimLeft(body, space); len(text) > 0 && (text[0] == '<' || text[0] == '{') {
			return nil // it was decompressed on its way, and the header was left
		}
		return refuse(ReasonCompressed, fmt.Sprintf("the body is compressed (Content-Encoding %.20q), and WeChat compresses none: "+
			"let the proxy in front of this program pass it on as it came", encoding))
	}
}

// OpenRequest reads the body of a push and opens it as [Verifier.Open] does. Where the
// body was read before ([ReasonBodyRead]) or compressed ([ReasonCompressed]), a wrong
// signature is the error all the same: who did not sign the query learns nothing about
// this program.
func (v *Verifier) OpenRequest(q Query, r *http.Request) (message []byte, pair Pair, err error) {
	message, pair, err = v.openRequest(new(room), q, r)
	return v.inTime(q, message, pair, err)
}

// OpenLate is [Verifier.OpenRequest] for callers that know which messages were handled,
// as [Endpoint.Serve] does and says: it takes an encrypted push of any age, since
// WeChat repeats some events for hours, perhaps with the timestamp of the first time.
func (v *Verifier) OpenLate(q Query, r *http.Request) (message []byte, pair Pair, err error) {
	return v.openRequest(new(room), q, r)
}

// openRequest opens an encrypted push of any age and a plain one that is fresh; the
// message is good until room is used again.
func (v *Verifier) openRequest(room *room, q Query, r *http.Request) (message []byte, pair Pair, err error) {
	if _, err := v.Signed(q); err != nil {
		return nil, Pair{}, err
	}
	room.body, err = readBody(r, room.body)
	if err == nil {
		err = unsuited(r, room.body)
	}
	if _, ok := errors.AsType[*Error](err); ok {
		if ring, err := v.configured(); err != nil {
			return nil, Pair{}, err
		} else if _, err := ring.verify(q); err != nil {
			return nil, Pair{}, err
		}
	}
	if err != nil {
		return nil, Pair{}, err
	}
	return v.open(room, q, room.body)
}

// Signed says what the query alone shows of a push, before its body is read: nothing is
// to be read after an error. It reports whether the query is surely WeChat's, and of
// now. One without a signature, as 企业微信 sends it, and one that may be repeated with
// an old timestamp may be WeChat's too; that is known once the body is open.
func (v *Verifier) Signed(q Query) (surely bool, err error) {
	r, err := v.configured()
	if err != nil {
		return false, err
	}
	if q.Signature == "" && q.MsgSignature != "" && len(r.keys) > 0 {
		return false, nil
	}
	if _, err := r.verify(q); err != nil {
		return false, err
	}
	if err := v.fresh(q.Timestamp); err != nil {
		if len(r.keys) == 0 {
			return false, err
		}
		return false, nil
	}
	return true, nil
}

// Fresh returns the refusal of a push whose timestamp is not fresh, for callers of
// [Verifier.OpenLate].
func (v *Verifier) Fresh(q Query) error { return v.fresh(q.Timestamp) }

// stale is the refusal of an encrypted push that is not fresh; a plain one was looked
// at before.
func (v *Verifier) stale(q Query, pair Pair) error {
	if !pair.Encrypted {
		return nil
	}
	return v.fresh(q.Timestamp)
}
