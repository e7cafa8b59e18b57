package simulator

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// What WeChat shows when the app fails.
const (
	failureLine     = "该公众号提供的服务出现故障，请稍后再试"
	consoleMismatch = "token验证失败"
	consoleTimeout  = "请求URL超时"
)

// unanswered is the verdict when no delivery got an answer.
func (p *sending) unanswered(r *Result) {
	var all []string
	for _, d := range r.Deliveries {
		all = append(all, d.outcome())
	}
	what := "each time " + all[0]
	if len(slices.Compact(slices.Clone(all))) > 1 {
		for i := range all {
			all[i] = fmt.Sprintf("delivery %d: %s", i+1, all[i])
		}
		what = strings.Join(all, "; ")
	}
	noun := "deliveries"
	if len(all) == 1 {
		noun = "delivery"
	}
	r.fail(p.failureLine(), "%d %s went wrong (%s). %s", len(all), noun, what, p.remedy(r.Deliveries[0].Status))
}

// remedy says what to do about the status of an answer; 0 means no answer.
func (p *sending) remedy(status int) string {
	switch {
	case status == http.StatusForbidden && p.Mode != Plain:
		return "The app refused the push, which came encrypted: compare the app's Token and AES key with the account's; an app without an AES key takes plain pushes only"
	case status == http.StatusForbidden:
		return "The app refused the push, which came in plain text: compare the app's Token with the account's; an app with an AES key takes encrypted pushes only"
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		return "Nothing answers POST at this path: check the path, and that the app's callback is registered for GET and POST there"
	case status >= 300 && status < 400:
		return "WeChat follows no redirect: use the address that the app itself answers at, slash and scheme included"
	case status >= 500:
		return "The app failed: its log says why"
	default:
		return fmt.Sprintf("Answer within %s with status 200: success at once, and do the work afterwards", p.sim.options.Patience)
	}
}

// failureLine is what the follower sees; who has left sees nothing.
func (p *sending) failureLine() string {
	if p.message.event() == "unsubscribe" || p.account.Kind == WeCom { // what WeCom shows is not known
		return ""
	}
	return failureLine
}

// judge is the verdict on an answer with status 200.
func (p *sending) judge(r *Result, d Delivery) {
	late := ""
	if n := len(r.Deliveries); n > 1 {
		late = fmt.Sprintf(" to delivery %d", n)
		r.note("the app answered only delivery %d: look whether it handled the message once", n)
	}
	switch d.Body {
	case "success":
		r.Verdict, r.Reason = Silent, "the app answered success"+late
		return
	case "":
		r.Verdict, r.Reason = Silent, "the app answered with an empty body"+late
		return
	}
	reply, err := p.readReply(r, d.Body)
	if err != nil {
		r.fail(p.failureLine(), "%v", err)
		return
	}
	r.Reply = reply
	switch {
	case p.message.event() == "unsubscribe":
		r.Verdict, r.Reason = Silent, "the follower has left, so that no reply reaches him: answer success"
	case reply.Type == "":
		r.Verdict, r.Reason = Silent, "the app answered JSON without a MsgType, of which the user sees nothing"
	case reply.Type == "event":
		r.Verdict, r.Reason = Silent, "the app answered the event in a form of its own, of which the user sees nothing"
	case reply.Type == transfer:
		r.Verdict, r.Reason = Silent, "the message goes to the customer service"+late
	default:
		r.Verdict, r.Reason, r.Sees = Replied, "the app replied with "+reply.Type+late, reply.String()
	}
}

// judgeVerification is the verdict on the answer to an echostr, which WeCom has encrypted.
func judgeVerification(r *Result, d Delivery, echo string, encrypted bool) {
	want := "answer the echostr of the query as it is, as text/plain"
	if encrypted {
		want = "answer what the echostr of the query holds, decrypted, as text/plain"
	}
	switch {
	case d.Err != nil:
		r.fail(consoleTimeout, "%s", d.outcome())
	case d.Status == http.StatusNotFound, d.Status == http.StatusMethodNotAllowed:
		r.fail(consoleMismatch, "%s: the app has no route for GET at this path; with the middleware on a Gin group, register "+
			"client.Callback() there for GET and POST, since Gin runs a group's middleware for its routes only", d.outcome())
	case d.Status != http.StatusOK:
		r.fail(consoleMismatch, "%s: the Token differs from the app's, or the app does not answer GET", d.outcome())
	case d.Body == echo:
		r.Verdict, r.Reason = Verified, "the app echoed the echostr"
	case d.Body == "":
		r.fail(consoleMismatch, "the answer is empty: %s", want)
	case strings.Trim(strings.TrimPrefix(d.Body, bom), "\"' \t\r\n") == echo:
		r.fail(consoleMismatch, "the answer has quotes, white space or a BOM around the echostr: %s", want)
	case strings.Contains(d.Body, echo):
		r.fail(consoleMismatch, "the answer has more in it than the echostr: %s", want)
	default:
		r.fail(consoleMismatch, "the answer is not the echostr: %s", want)
	}
}

// resisted judges what an app did with an attack.
func (p *sending) resisted(r *Result) {
	last := r.Deliveries[len(r.Deliveries)-1]
	switch {
	case last.Err != nil || last.Status != 200:
		r.Verdict = Refused
		r.Reason = "the app refused the " + string(p.Attack) + " attack: " + last.outcome()
	default:
		r.Verdict = Accepted
		r.Reason = fmt.Sprintf("the app answered the %s attack with 200 as if it were WeChat's: %s. Answer 403", p.Attack, remedies[p.Attack])
	}
	r.Sees, r.Reply = "", nil
}

var remedies = map[Attack]string{
	WrongSignature: "check the signature before anything else",
	Stale:          "refuse timestamps that are more than 5 minutes away",
	Tampered:       "check msg_signature, which covers Encrypt; signature does not",
	ForeignAppID:   "compare the appid behind the message with your own",
	PlainText:      "let the configuration decide the mode, never the request",
}
