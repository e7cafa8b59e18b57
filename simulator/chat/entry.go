package chat

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// entry is one request in the log, without secrets.
type entry struct {
	seq      uint64
	at       time.Time
	event    simulator.Event
	delivery int // of a push: which one of its message; 0 for a verification
	checks   []check
	rid      string
	errmsg   string
}

// check is something that was looked at.
type check struct {
	OK   bool
	What string // a key of the translations
	Of   string // what it was about
}

// observe takes an event of the simulator into the log and into the chats.
func (p *Page) observe(e simulator.Event) {
	one := entry{at: time.Now(), checks: p.checks(e)}
	var answer struct {
		Errmsg string `json:"errmsg"`
	}
	if !e.Push && json.Unmarshal([]byte(e.Response), &answer) == nil {
		one.errmsg, one.rid, _ = strings.Cut(answer.Errmsg, "rid: ")
		one.errmsg = strings.TrimRight(one.errmsg, " ,")
	}
	one.event = p.conceal(e)
	good := !e.Push && e.Errcode == 0 && e.Status == 200
	var members []string
	if good && e.Path == corpSendPath {
		members = p.toMembers(e.AppID, e.Request)
	}

	p.mu.Lock()
	if e.MsgID != 0 {
		one.delivery = 1
		for _, before := range p.entries {
			if before.event.MsgID == e.MsgID && before.event.AppID == e.AppID {
				one.delivery++
			}
		}
	}
	if e.Push {
		p.pushed(e)
	} else if b, openid, found := pushedBy(e.Path, e.Request); found && good {
		p.append(roomKey{e.AppID, openid}, b)
	}
	for _, userid := range members {
		if b, found := corpSent(e.Request); found {
			p.append(roomKey{e.AppID, userid}, b)
		}
	}
	one.seq = p.changed()
	if len(p.entries) == maxEntries {
		p.entries = slices.Delete(p.entries, 0, 1)
	}
	p.entries = append(p.entries, one)
	p.mu.Unlock()
	p.bell.Ring()
}

// pushed takes a delivery into the chat: the message, if it is not there yet, what
// became of it, and the reply. The mutex is held.
func (p *Page) pushed(e simulator.Event) {
	if e.MsgID == 0 {
		return // a verification
	}
	m, err := callback.ParseMessage([]byte(e.Message))
	if err != nil {
		return // a raw message that is none
	}
	key := roomKey{e.AppID, m.FromUserName}
	r := p.room(key)
	if r == nil {
		return
	}
	of := func(b bubble) bool { return b.msgID == e.MsgID }
	at := slices.IndexFunc(r.bubbles, of)
	if at < 0 {
		b := sentBy(m)
		b.msgID, b.at = e.MsgID, time.Now().Add(-e.Latency)
		p.append(key, b)
		at = len(r.bubbles) - 1
	}
	b := &r.bubbles[at]
	b.seq, b.end, b.reason = p.changed(), e.Verdict, e.Reason
	if e.Verdict == "" {
		b.tries++
		return
	}
	if answer, ok := replied(e.Reply); ok && e.Verdict == simulator.Replied {
		p.append(key, answer)
	} else if e.Sees != "" {
		p.append(key, bubble{side: apps, kind: "failure", text: e.Sees, reason: e.Reason})
	}
}

// checks says what WeChat, or the app, finds when it looks at who is calling.
func (p *Page) checks(e simulator.Event) []check {
	if e.Push {
		return p.signatures(e)
	}
	query, _ := url.ParseQuery(e.Query)
	switch e.Path {
	case simulator.TokenPath, simulator.StableTokenPath:
		var in struct {
			AppID  string `json:"appid"`
			Secret string `json:"secret"`
		}
		if e.Path == simulator.TokenPath {
			in.AppID, in.Secret = query.Get("appid"), query.Get("secret")
		} else {
			_ = json.Unmarshal([]byte(e.Request), &in) // what cannot be read is no credential
		}
		a, known := p.account(in.AppID)
		return []check{{known, "appid", in.AppID}, {known && in.Secret == a.Secret, "AppSecret", ""}}
	case corpTokenPath:
		corp := query.Get("corpid")
		ofCorp := func(a simulator.Account) bool { return corp != "" && strings.HasPrefix(a.AppID, corp+":") }
		return []check{{slices.ContainsFunc(p.Simulator.Accounts(), ofCorp), "corpid", corp}, {e.AppID != "", "corpsecret", ""}}
	}
	value := query.Get("access_token")
	if value == "" {
		return nil
	}
	info := p.Simulator.Inspect(value)
	what := string(info.Pool)
	if info.Pool == "" {
		what = "unknown"
	}
	return []check{{info.Errcode == 0, "access_token", what + " " + ending(value)}}
}

// signatures looks at a push as an app does, with what package callback knows and
// the simulator does not share.
func (p *Page) signatures(e simulator.Event) []check {
	a, _ := p.account(e.AppID)
	query, err := url.ParseQuery(e.Query)
	if err != nil {
		return nil
	}
	timestamp, nonce := query.Get("timestamp"), query.Get("nonce")
	var all []check
	if !isCorp(e.AppID) { // WeCom sends none
		all = append(all, check{callback.CheckSignature(a.Token, timestamp, nonce, query.Get("signature")), "signature", ""})
	}
	if given := query.Get("msg_signature"); given != "" {
		if echo := query.Get("echostr"); echo != "" {
			all = append(all, check{callback.CheckMsgSignature(a.Token, timestamp, nonce, echo, given), "msg_signature", ""})
		} else if found := encrypted.FindStringSubmatch(e.Request); found != nil {
			all = append(all, check{callback.CheckMsgSignature(a.Token, timestamp, nonce, found[1]+found[2], given), "msg_signature", ""})
		}
	}
	return all
}

// encrypted finds Encrypt in XML or JSON as the simulator writes it.
var encrypted = regexp.MustCompile(`<Encrypt><!\[CDATA\[([^\]]*)|"[Ee]ncrypt":"([^"]*)`)

func (p *Page) account(appid string) (simulator.Account, bool) {
	for _, a := range p.Simulator.Accounts() {
		if a.AppID == appid {
			return a, true
		}
	}
	return simulator.Account{}, false
}

// What has a secret behind it. Only the end of a token is shown, to tell one from
// another; of an AppSecret nothing, also of one that is wrong.
var (
	withToken  = regexp.MustCompile(`(access_token=|"(?:access_token|ticket)"\s*:\s*")([^&"\s]{9,})`)
	withSecret = regexp.MustCompile(`((?:^|[?&])(?:app|corp)?secret=|"(?:app|corp)?secret"\s*:\s*")[^&"]+`)
)

func (p *Page) conceal(e simulator.Event) simulator.Event {
	e = p.Simulator.Redact(e)
	for _, text := range []*string{&e.Query, &e.Request, &e.Response} {
		*text = withSecret.ReplaceAllString(*text, "$1***")
		*text = withToken.ReplaceAllStringFunc(*text, func(s string) string {
			part := withToken.FindStringSubmatch(s)
			return part[1] + ending(part[2])
		})
	}
	return e
}

// ending is by what one tells a token from another.
func ending(value string) string {
	if len(value) <= 8 {
		return "…"
	}
	return "…" + value[len(value)-8:]
}
