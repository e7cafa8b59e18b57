package chat

import (
	"encoding/json"
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
	OK   bool   `json:"ok"`
	What string `json:"what"`
	Of   string `json:"of"` // what it was about
}

// observe takes an event of the simulator into the log and into the chats.
func (p *Page) observe(in event) {
	e := in.Event
	one := entry{at: in.At, checks: in.Checks}
	var answer struct {
		Errmsg string `json:"errmsg"`
	}
	if !e.Push && json.Unmarshal([]byte(e.Response), &answer) == nil {
		one.errmsg, one.rid, _ = strings.Cut(answer.Errmsg, "rid: ")
		one.errmsg = strings.TrimRight(one.errmsg, " ,")
	}
	one.event = conceal(e)
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
		p.pushed(e, in.At)
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
func (p *Page) pushed(e simulator.Event, at time.Time) {
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
	i := slices.IndexFunc(r.bubbles, of)
	if i < 0 {
		b := sentBy(m)
		b.msgID, b.at = e.MsgID, at.Add(-e.Latency)
		p.append(key, b)
		i = len(r.bubbles) - 1
	}
	b := &r.bubbles[i]
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

// What has a secret behind it. Only the end of a token is shown, to tell one from
// another; of an AppSecret nothing, also of one that is wrong.
var (
	withToken  = regexp.MustCompile(`(access_token=|"(?:access_token|ticket)"\s*:\s*")([^&"\s]{9,})`)
	withSecret = regexp.MustCompile(`((?:^|[?&])(?:app|corp)?secret=|"(?:app|corp)?secret"\s*:\s*")[^&"]+`)
)

// conceal hides what the API leaves, such as tokens and a Secret that is wrong.
func conceal(e simulator.Event) simulator.Event {
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
