package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/internal/shape"
)

// The errcodes that the gateway answers with, each where WeChat would.
const (
	codeBusy        = -1
	codeToken       = 40001
	codeGrantType   = 40002
	codeAppID       = 40013
	codeURL         = 40066
	codeSecret      = 40125
	codeNoToken     = 41001
	codeNoAppID     = 41002
	codeNoSecret    = 41004
	codeExpired     = 42001
	codeRequireGET  = 43001
	codeRequirePOST = 43002
	codeEmptyPost   = 44002
	codeTooBig      = 45001
	codeMinute      = 45011
	codeFormat      = 47001
	codeNotAllowed  = 48001
	codeParameter   = 40035
	codeCode        = 40029
	codeCodeUsed    = 40163
	codeCodeExpired = 42003
	codeOwn         = -3 // the gateway's own credentials are refused, not the caller's
	codeCorpToken   = 40014
	codeAccepted    = -2 // of the gateway's own API alone, which does not show it
)

// texts are the errmsgs that WeChat has for them, without rid.
var texts = map[int]string{ //nolint:gosec // messages
	codeBusy:        "system error",
	codeToken:       "invalid credential, access_token is invalid or not latest",
	codeCorpToken:   "invalid access_token",
	codeGrantType:   "invalid grant_type",
	codeAppID:       "invalid appid",
	codeURL:         "invalid url",
	codeSecret:      "invalid appsecret",
	codeNoToken:     "access_token missing",
	codeNoAppID:     "appid missing",
	codeNoSecret:    "appsecret missing",
	codeExpired:     "access_token expired",
	codeRequireGET:  "require GET method",
	codeRequirePOST: "require POST method",
	codeEmptyPost:   "empty post data",
	codeTooBig:      "media size out of limit",
	codeMinute:      "api minute-quota reach limit, must slower, retry next minute",
	codeFormat:      "data format error",
	codeNotAllowed:  "api unauthorized",
	codeParameter:   "invalid parameter",
	codeCode:        "invalid code",
	codeCodeUsed:    "code been used",
	codeCodeExpired: "code expired",
}

// refusal is the gateway's own answer to a call, in place of WeChat's.
type refusal struct {
	code   int
	status int    // of HTTP; 0 means 200, as WeChat has it
	why    string // for the log; never a secret

	attempt bool // with a key or a token that is none

	errmsg string // of WeChat's API: other words than those of the code

	text string // of WeChat's API: plain text instead of JSON; of the gateway's own: other words than those of the code

	// Of the gateway's own API, where api is set:
	api   bool
	class custody.Class // of a failure to get a token
	retry time.Duration // when it may be tried again; 0: nobody knows
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.code, texts[r.code], r.why) }

// refuse returns a refusal whose reason is for the log alone: the caller learns what
// WeChat would have said.
func refuse(code int, why string, args ...any) *refusal {
	return &refusal{code: code, why: fmt.Sprintf(why, args...)}
}

// write answers the call and returns the rid by which the log names it.
func (r *refusal) write(w http.ResponseWriter) (rid string) {
	if r.api {
		return r.writeAPI(w)
	}
	if r.text != "" {
		rid = newRID(time.Now())
		header := w.Header()
		header.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(r.status)
		// A caller that has gone misses nothing.
		_, _ = fmt.Fprintf(w, "%s (zhongkong) rid: %s\n", r.text, rid)
		return rid
	}
	text, code := cmp.Or(r.errmsg, texts[r.code]), r.code
	if code == codeBusy {
		text += ": this is the gateway and not WeChat speaking: " + busyText(r.class != "")
	}
	if r.class != "" && code != codeBusy && text != "" {
		// WeChat said so to the gateway. From the gateway it would be about the caller's key.
		code, text = codeOwn, "zhongkong has no token for this account: WeChat refuses the gateway, not you"
	}
	if text == "" {
		text = "zhongkong has no token for this account" // an errcode of a fetch: WeChat's text may name this machine
	}
	rid = newRID(time.Now())
	body := fmt.Appendf(nil, `{"errcode":%d,"errmsg":"%s (zhongkong) rid: %s"}`, code, text, rid)
	status := r.status
	if status == 0 {
		status = http.StatusOK
	}
	writeBytes(w, status, body)
	return rid
}

// busyText says what a gateway's errcode -1 means, which reads like WeChat's own. It tells no
// more than that: the reason may name the gateway's machine.
func busyText(fetching bool) string {
	if fetching {
		return "it has no token for this account now, since WeChat cannot be reached or is busy"
	}
	return "WeChat or the gateway's store cannot be reached, or the gateway is ending or full"
}

// newRID returns a rid as WeChat makes them: its first group is the time.
func newRID(now time.Time) string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return fmt.Sprintf("%08x-%s-%s", uint32(now.Unix()), hex.EncodeToString(b[:4]), hex.EncodeToString(b[4:]))
}

// writeToken answers as WeChat's token endpoints do. The value is printable ASCII
// without quotes and backslashes.
func writeToken(w http.ResponseWriter, value string, expiresIn time.Duration) {
	const front, middle = `{"access_token":"`, `","expires_in":`
	body := make([]byte, 0, len(front)+len(value)+len(middle)+8)
	body = append(body, front...)
	body = append(body, value...)
	body = append(body, middle...)
	body = strconv.AppendInt(body, int64(expiresIn/time.Second), 10)
	body = append(body, '}')
	w.Header()["Cache-Control"] = noStore
	writeBytes(w, http.StatusOK, body)
}

// writeCorpToken answers as WeCom's gettoken does.
func writeCorpToken(w http.ResponseWriter, value string, expiresIn time.Duration) {
	w.Header()["Cache-Control"] = noStore
	const form = `{"errcode":0,"errmsg":"ok","access_token":"%s","expires_in":%d}`
	writeBytes(w, http.StatusOK, fmt.Appendf(nil, form, value, int64(expiresIn/time.Second)))
}

// countedByServer is the length in bytes up to which net/http surely finds out the
// Content-Length of an answer by itself.
const countedByServer = 1 << 10

var noStore = []string{"no-store"}

var jsonType = []string{"application/json; encoding=utf-8"}

func writeBytes(w http.ResponseWriter, status int, body []byte) {
	header := w.Header()
	header["Content-Type"] = jsonType
	if len(body) > countedByServer {
		header["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller that has gone misses nothing
}

// writeJSONLine answers a program, as WeChat does.
func writeJSONLine(w http.ResponseWriter, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // a struct of texts and numbers
	}
	writeBytes(w, http.StatusOK, body)
}

// writeJSON answers an admin or a probe.
func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"no JSON"}`)
	}
	w.Header()["Cache-Control"] = noStore
	writeBytes(w, status, append(body, '\n'))
}

// apiPrefix is where the gateway's own API is, beside WeChat's. WeChat has no such
// path.
const apiPrefix = "/zhongkong/v1/"

// errTooLong answers a body that is longer, by its own account, than anything on its path.
var errTooLong = &refusal{code: codeTooBig, status: http.StatusRequestEntityTooLarge, why: "the body is longer than the limit"}

// badToken refuses an access_token, with the errcode at which the programs of its account fetch
// another one: 40001, and for WeCom 40014. One that no gateway made names no account, such as
// WeCom's own, which a program still has from before it called the gateway. Then the gateway's
// accounts decide: where it has both sorts it is 42001, at which the programs of both fetch
// again.
func (d *desk) badToken(err error) *refusal {
	refused := refuse(codeToken, "%v", err)
	refused.attempt = true
	e, ok := errors.AsType[*clients.TokenError](err)
	switch {
	case !ok:
	case e.Expired:
		refused.code, refused.attempt = codeExpired, false
	case e.AppID != "":
		if _, _, isApp := shape.App(e.AppID); isApp {
			refused.code = codeCorpToken
		}
	case !d.accounts.apps.Load():
	case d.accounts.officials.Load():
		refused.code = codeExpired
	default:
		refused.code = codeCorpToken
	}
	return refused
}

// maxFetchBody is the longest body of what gives tokens out.
const maxFetchBody = 64 << 10

// noToken says why there is no real token, with the errcode that WeChat gave.
func noToken(err error) *refusal {
	r := refuse(codeBusy, "%v", err)
	var failure *custody.Error
	switch {
	case errors.As(err, &failure):
		if failure.Code > 0 {
			r.code = failure.Code
		}
		r.class, r.retry = failure.Class, failure.RetryAfter
	case errors.Is(err, errNoAccount):
		r.code = codeAppID
	case errors.Is(err, context.Canceled):
		r.why = "the caller has gone"
	}
	return r
}

// apiRefusal is how the gateway's own API refuses: by HTTP's status, with words for
// people.
type apiRefusal struct {
	Error      string        `json:"error"`
	Errcode    int           `json:"errcode,omitempty"`     // WeChat's, or the one that WeChat would answer
	Class      custody.Class `json:"class,omitempty"`       // of a failure to get a token
	RetryAfter int64         `json:"retry_after,omitempty"` // seconds
	RID        string        `json:"rid"`
}

// apiStatuses are the statuses and words of the refusals. The others are failures to
// get a token: 503.
var apiStatuses = map[int]struct {
	status int
	text   string
}{
	codeNoSecret:    {http.StatusUnauthorized, "the call has no key: send Authorization: Bearer and the client's key (zhongkong client add)"},
	codeSecret:      {http.StatusUnauthorized, "no living client has this key: it is wrong, revoked or expired (zhongkong client list, client rotate)"},
	codeAppID:       {http.StatusForbidden, "the client may not use this account, or the gateway does not have it"},
	codeNotAllowed:  {http.StatusForbidden, "the path is not one of those that the client may use"},
	codeURL:         {http.StatusNotFound, "there is no such path: see " + apiPrefix + "openapi.yaml"},
	codeRequireGET:  {http.StatusMethodNotAllowed, "the path takes GET alone"},
	codeRequirePOST: {http.StatusMethodNotAllowed, "the path takes POST alone"},
	codeFormat:      {http.StatusBadRequest, `the body has to be {"access_token":"the token that was refused"}`},
	codeParameter:   {http.StatusBadRequest, "there is no such type of ticket: it is jsapi or wx_card"},
	codeCode:        {http.StatusBadRequest, "the ticket was not made for this client, or the store does not have it any more: let the user log in again"},
	codeCodeUsed:    {http.StatusBadRequest, "the ticket was redeemed before, and works once: let the user log in again"},
	codeCodeExpired: {http.StatusBadRequest, "the ticket is more than five minutes old: let the user log in again"},
	codeTooBig:      {http.StatusRequestEntityTooLarge, "the body is too long"},
	codeAccepted:    {http.StatusConflict, "there is no other token to be had now: the one that was refused is accepted when WeChat is asked directly, or WeChat refuses every token of the account; see the gateway's log"},
	codeMinute:      {http.StatusTooManyRequests, "too many calls of this client"},
	codeBusy:        {http.StatusServiceUnavailable, "the gateway cannot answer now: WeChat or its store is away, or it is ending; see its log"},
}

// writeAPI answers a call of the gateway's own API and returns the rid by which the
// log names it. What WeChat said of a fetch is told by its errcode alone: its text
// may name the gateway's machine.
func (r *refusal) writeAPI(w http.ResponseWriter) (rid string) {
	rid = newRID(time.Now())
	known, found := apiStatuses[r.code]
	if !found || r.class != "" && r.code != codeBusy {
		known.status, known.text = http.StatusServiceUnavailable, "the gateway has no token for this account: WeChat answered it with this errcode (zhongkong explain); see its log"
	}
	if r.text != "" {
		known.text = r.text
	}
	answer := apiRefusal{
		Error:      known.text,
		Errcode:    r.code,
		Class:      r.class,
		RetryAfter: int64((r.retry + time.Second - 1) / time.Second),
		RID:        rid,
	}
	if r.code == codeAccepted {
		answer.Errcode = 0
	}
	if answer.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(answer.RetryAfter, 10))
	}
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err) // a struct of texts and numbers
	}
	writeBytes(w, known.status, body)
	return rid
}

// retryAfter returns when a failure to get a token is tried again, 0 when that is
// not known.
func retryAfter(err error) time.Duration {
	if failure, ok := errors.AsType[*custody.Error](err); ok {
		return failure.RetryAfter
	}
	return 0
}
