package simulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// contentType is what WeChat's token endpoints send with errors.
const contentType = "application/json; encoding=utf-8"

// answer is what goes back to the caller.
type answer struct {
	status      int
	errcode     int
	contentType string
	disposition string            // Content-Disposition; "" sends none
	location    string            // Location; "" sends none
	cookie      string            // Set-Cookie; "" sends none
	signed      map[string]string // further headers, of a signed answer
	body        string
}

func ok(body string) answer {
	return answer{status: http.StatusOK, contentType: contentType, body: body}
}

// refuse answers with an errcode and its text.
func (c *call) refuse(errcode int) answer {
	if c.wecom {
		return c.refuseCorp(errcode, c.text(errcode))
	}
	c.rid = c.sim.rid()
	return c.refuseWith(errcode, c.text(errcode)+ridMark(c.req.URL.Path)+c.rid)
}

func (c *call) refuseWith(errcode int, errmsg string) answer {
	kind := contentType
	if strings.HasPrefix(c.req.URL.Path, snsPrefix) {
		kind = snsContentType
	}
	return answer{
		status:      http.StatusOK,
		errcode:     errcode,
		contentType: kind,
		body:        fmt.Sprintf(`{"errcode":%d,"errmsg":%s}`, errcode, quote(errmsg)),
	}
}

// quote makes a JSON string with non-ASCII characters raw, as WeChat sends them.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// send writes an answer or the part of it that the cut leaves.
func (a answer) send(w http.ResponseWriter, cut Cut) {
	body := a.body
	switch cut {
	case CutAnswer:
		panic(http.ErrAbortHandler)
	case CutShort:
		body = body[:len(body)/2]
	}
	h := w.Header()
	if a.contentType != "" {
		h.Set("Content-Type", a.contentType)
	} else {
		h["Content-Type"] = nil // keeps net/http from guessing one
	}
	if a.disposition != "" {
		h.Set("Content-Disposition", a.disposition)
	}
	if a.location != "" {
		h.Set("Location", a.location)
	}
	if a.cookie != "" {
		h.Set("Set-Cookie", a.cookie)
	}
	for name, value := range a.signed {
		h.Set(name, value)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	if cut == CutBody {
		_, _ = w.Write([]byte(body[:len(body)/2]))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write([]byte(body)) // a caller who is gone misses nothing
}

// seconds is a duration as expires_in states it, rounded down so that no token
// is promised longer than it lives.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }
