package simulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/platform/errcode"
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

// text returns the errmsg of an errcode up to the rid.
func (c *call) text(code int) string {
	if c.wecom {
		return corpText(code)
	}
	if code == notWhitelisted {
		v6 := c.caller
		if !strings.Contains(v6, ":") {
			v6 = "::ffff:" + v6
		}
		return "invalid ip " + c.caller + " ipv6 " + v6 + ", not in whitelist"
	}
	if code == invalidCredential && strings.HasPrefix(c.req.URL.Path, snsPrefix) {
		return "invalid credential, access_token is invalid or not latest" // as captured there
	}
	if info, known := errcode.Lookup(code); known && info.Text != "" {
		return info.Text
	}
	return "unknown error"
}

// ridMark is what is between an errmsg and its rid.
func ridMark(path string) string {
	if strings.HasPrefix(path, snsPrefix) {
		return ", rid: "
	}
	return " rid: "
}

// refuseCorp answers with an errcode as WeCom does: with a hint, the caller's address and
// where to read more; and at gettoken with the fields of a success, empty.
func (c *call) refuseCorp(errcode int, errmsg string) answer {
	empty := ""
	if c.req.URL.Path == corpTokenPath {
		empty = `,"access_token":"","expires_in":0`
	}
	n := mix(c.sim.options.Seed + c.sim.ridCount.Add(1)*0x9e3779b97f4a7c15)
	hint := fmt.Sprintf("%d_%d_%016x%016x", c.sim.wall().Unix(), n%1000, n, mix(n))
	return answer{
		status: http.StatusOK, errcode: errcode, contentType: "application/json; charset=UTF-8",
		body: fmt.Sprintf(`{"errcode":%d,"errmsg":%s%s}`, errcode, quote(fmt.Sprintf(
			"%s, hint: [%s], from ip: %s, more info at https://open.work.weixin.qq.com/devtool/query?e=%d", errmsg, hint, c.caller, errcode)), empty),
	}
}
