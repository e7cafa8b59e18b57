package chat

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// notSimulated is in answers that the simulator has only for the sake of programs that go on.
const notSimulated = `"simulator":"not simulated`

// entryView is an entry in a language.
type entryView struct {
	e entry
	v *view
}

// The parts of an entry, for the template.
func (e entryView) ID() string                        { return "entry-" + strconv.FormatUint(e.e.seq, 10) }
func (e entryView) Event() simulator.Event            { return e.e.event }
func (e entryView) At() string                        { return e.e.at.Format("15:04:05") }
func (e entryView) ISO() string                       { return e.e.at.Format(time.RFC3339Nano) }
func (e entryView) Checks() []check                   { return e.e.checks }
func (e entryView) RID() string                       { return e.e.rid }
func (e entryView) Errmsg() string                    { return e.e.errmsg }
func (e entryView) Delivery() int                     { return e.e.delivery }
func (e entryView) T(text string, args ...any) string { return e.v.T(text, args...) }

// Took is the time it took.
func (e entryView) Took() string {
	if e.e.event.Latency < time.Millisecond {
		return "<1 ms"
	}
	return e.v.Number(int(e.e.event.Latency.Milliseconds())) + " ms"
}

// Code is the shortest word for the outcome.
func (e entryView) Code() string {
	switch o := e.e.event; {
	case o.Push && o.Verdict != "":
		return e.T(string(o.Verdict))
	case o.Status == 0:
		return e.T("no answer")
	case o.Errcode != 0:
		return strconv.Itoa(o.Errcode)
	case o.Lost:
		return e.T("cut off")
	case o.Status != http.StatusOK:
		return strconv.Itoa(o.Status)
	default:
		return "ok"
	}
}

// Level is how bad it is.
func (e entryView) Level() string {
	o := e.e.event
	switch {
	case o.Push && o.Verdict == "":
		return "warn"
	case o.Push && (o.Verdict == simulator.Failed || o.Verdict == simulator.Accepted):
		return "bad"
	case o.Push:
		return "ok"
	case o.Status != http.StatusOK || o.Errcode != 0 || o.Lost:
		return "bad"
	case o.Fault:
		return "warn"
	default:
		return "ok"
	}
}

// Words is the verdict.
func (e entryView) Words() string {
	o := e.e.event
	if o.Push {
		if o.Verdict == "" {
			return e.T("Delivery %d went wrong; WeChat tries again…", max(e.e.delivery, 1))
		}
		return e.v.verdict(o.Verdict, o.Reason)
	}
	text := e.call()
	if o.Fault {
		return e.T("Because of a fault that is switched on: %s", text)
	}
	return text
}

// call is the verdict on a call of the API.
func (e entryView) call() string {
	o := e.e.event
	fetch := o.Path == simulator.TokenPath || o.Path == simulator.StableTokenPath || o.Path == corpTokenPath
	switch {
	case o.Errcode != 0:
		info, _ := errcode.Lookup(o.Errcode)
		switch {
		case isCorp(o.AppID) || o.Path == corpTokenPath:
			info, _ = errcode.LookupOn(errcode.WeCom, o.Errcode)
		case fetch:
			info = errcode.AtTokenEndpoint(o.Errcode)
		}
		if e.v.Lang == lang.Chinese {
			return info.CauseZH + info.RemedyZH
		}
		return info.Cause + " " + info.Remedy
	case o.Lost:
		return e.T("The caller did not get the whole answer.")
	case o.Status == http.StatusNotFound:
		return e.T("There is nothing at this path.")
	case o.Status == http.StatusPreconditionFailed:
		return e.T("The body came without Content-Length, which WeChat refuses.")
	case o.Status != http.StatusOK:
		return e.T("The caller got HTTP %d instead of an answer.", o.Status)
	case fetch:
		return e.T("The caller has the token.")
	case o.Path == "/cgi-bin/message/custom/send", o.Path == "/cgi-bin/message/template/send":
		return e.T("The follower has the message.")
	case o.Path == corpSendPath:
		return e.T("The members have the message.")
	case strings.Contains(o.Response, notSimulated):
		return e.T("Answered with success, but not simulated: only the token was checked.")
	case o.Path == "/cgi-bin/menu/create":
		return e.T("The menu is below the chat.")
	default:
		return e.T("Carried out.")
	}
}
