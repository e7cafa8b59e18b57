package chat

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/simulator"
)

// Paths of qyapi.weixin.qq.com that the page looks into.
const (
	corpTokenPath = "/cgi-bin/gettoken" //nolint:gosec // a path, no credential
	corpSendPath  = "/cgi-bin/message/send"
)

// enterAgent is the event of a member who opens an app.
const enterAgent = "enter_agent"

// Corp reports whether the account that is looked at is an app of WeCom.
func (v *view) Corp() bool { return v.conf.Kind == simulator.WeCom }

// CorpID and AgentID are the halves of an app's AppID.
func (v *view) CorpID() string { id, _, _ := strings.Cut(v.AppID, ":"); return id }

// AgentID is the second half.
func (v *view) AgentID() string { _, id, _ := strings.Cut(v.AppID, ":"); return id }

// isCorp reports whether an appid is that of an app of WeCom.
func isCorp(appid string) bool { return strings.Contains(appid, ":") }

// corpSwitches are the faults of an app of WeCom, in the order in which one would try them.
var corpSwitches = []faultSwitch{
	switches[0], switches[1], switches[2], switches[3],
	{"ip", "The caller's IP is not trusted (60020)", simulator.Fault{Path: simulator.APICalls, Errcode: 60020}},
	{"secret", "The Secret is wrong (40001)", simulator.Fault{Path: simulator.Fetches, Errcode: 40001}},
	{"quota", "Too many calls in an hour (45009)", simulator.Fault{Errcode: 45009}},
	{"refuse", "APIs refuse every token (40014)", simulator.Fault{Path: simulator.APICalls, Errcode: 40014}},
	{"down", "APIs: WeCom is busy (-1)", simulator.Fault{Path: simulator.APICalls, Errcode: -1}},
}

// switchesOf are the faults that the page offers for an account.
func switchesOf(appid string) []faultSwitch {
	if isCorp(appid) {
		return corpSwitches
	}
	return switches
}

// makeUpMember invents a userid.
func makeUpMember(now time.Time) string {
	return "member" + strconv.FormatInt(now.UnixNano()%1_000_000, 10)
}

// toMembers are those of an app's members to whom a message goes that an app sends.
func (p *Page) toMembers(appid, body string) []string {
	all, _ := p.wechat.accounts(p.ctx, false)
	a, _ := all.find(appid)
	var in struct {
		To    string `json:"touser"`
		Party string `json:"toparty"`
		Tag   string `json:"totag"`
	}
	if json.Unmarshal([]byte(body), &in) != nil {
		return nil
	}
	if in.To == "@all" || in.Party != "" || in.Tag != "" { // every member is in every department
		return a.Followers
	}
	named := strings.Split(in.To, "|")
	return slices.DeleteFunc(a.Followers, func(userid string) bool { return !slices.Contains(named, userid) })
}

// corpSent is the bubble of POST /cgi-bin/message/send.
func corpSent(body string) (b bubble, found bool) {
	type article struct {
		Title  string `json:"title"`
		Text   string `json:"description"`
		Digest string `json:"digest"` // of mpnews
		Link   string `json:"url"`
		Source string `json:"content_source_url"` // of mpnews
	}
	var in struct {
		article

		Content  string    `json:"content"`
		MediaID  string    `json:"media_id"`
		Articles []article `json:"articles"`
		Items    []struct {
			Key   string `json:"key"`
			Value string `json:"value"`
		} `json:"content_item"`
		Main struct {
			Title string `json:"title"`
			Text  string `json:"desc"`
		} `json:"main_title"`
		Sub string `json:"sub_title_text"`
	}
	var all map[string]json.RawMessage
	var kind string
	if json.Unmarshal([]byte(body), &all) != nil || json.Unmarshal(all["msgtype"], &kind) != nil {
		return bubble{}, false
	}
	_ = json.Unmarshal(all[kind], &in) // what is not as it should be is left out
	b = bubble{side: apps, way: "app", kind: kind, title: in.Title, link: in.Link}
	b.text = strings.TrimSpace(in.Content + " " + in.Text + " " + in.MediaID)
	for _, a := range in.Articles {
		b.cards = append(b.cards, card{a.Title, a.Text + a.Digest, a.Link + a.Source})
	}
	for _, item := range in.Items {
		b.rows = append(b.rows, [2]string{item.Key, item.Value})
	}
	if kind == "template_card" {
		b.title, b.text = in.Main.Title, strings.TrimSpace(in.Main.Text+" "+in.Sub)
	}
	return b, true
}
