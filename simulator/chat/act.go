package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// acts are what the page's forms do, by the last part of their address. Each
// returns where to continue, "" for where one is.
var acts = map[string]func(p *Page, v *view, r *http.Request) (next string, err error){
	"say":       (*Page).doSay,
	"menu":      (*Page).doMenu,
	"follow":    (*Page).doFollow,
	"follower":  (*Page).doFollower,
	"app":       (*Page).doApp,
	"whitelist": (*Page).doWhitelist,
	"state":     (*Page).doState,
	"token":     (*Page).doToken,
	"clock":     (*Page).doClock,
	"fault":     (*Page).doFault,
	"reset":     (*Page).doReset,
}

// doSay sends a message of the follower.
func (p *Page) doSay(v *view, r *http.Request) (string, error) {
	kind, value := r.FormValue("type"), strings.TrimSpace(r.FormValue("value"))
	if kind == "text" && value == "" {
		return "", errors.New("write something first")
	}
	if kind == "SCAN" && !slices.Contains(v.conf.Followers, v.OpenID) { // WeChat: who is no follower yet becomes one by scanning
		return p.join(v, "qrscene", value)
	}
	if kind == enterAgent {
		return "", p.push(v, push{Type: "event", Value: enterAgent, Set: map[string]string{"EventKey": ""}})
	}
	return "", p.push(v, push{Type: kind, Value: value})
}

// doMenu taps a button of the app's menu.
func (p *Page) doMenu(v *view, r *http.Request) (string, error) {
	b, found := pick(v.Menu(), r.FormValue("button"))
	if !found {
		return "", errors.New("the menu has changed: choose again")
	}
	m, pushed := b.tap()
	if !pushed {
		p.say(roomKey{v.AppID, v.OpenID}, bubble{
			side: nobody, kind: "event", event: "note", text: "WeChat shows what is behind this button without telling your app.",
		})
		return "", nil
	}
	return "", p.push(v, m)
}

// doFollow lets the follower come or go.
func (p *Page) doFollow(v *view, r *http.Request) (string, error) {
	if r.FormValue("on") == "1" {
		return p.join(v, "subscribe", "")
	}
	rest := slices.DeleteFunc(slices.Clone(v.conf.Followers), func(openid string) bool { return openid == v.OpenID })
	if len(rest) == 0 {
		return "", errors.New("the last follower has to stay: an account without followers is given new ones")
	}
	if err := p.wechat.update(p.ctx, v.AppID, map[string]any{"followers": rest}); err != nil {
		return "", err
	}
	return "", p.push(v, push{Type: "unsubscribe"})
}

// join lets somebody follow the account.
func (p *Page) join(v *view, event, scene string) (string, error) {
	if !slices.Contains(v.conf.Followers, v.OpenID) {
		all := append(slices.Clone(v.conf.Followers), v.OpenID)
		if err := p.wechat.update(p.ctx, v.AppID, map[string]any{"followers": all}); err != nil {
			return "", err
		}
	}
	return "", p.push(v, push{Type: event, Value: scene})
}

const maxNickname = 24 // characters

// doFollower invents somebody, who does not follow yet.
func (p *Page) doFollower(v *view, r *http.Request) (string, error) {
	name := strings.TrimSpace(r.FormValue("nickname"))
	switch n := utf8.RuneCountInString(name); {
	case n == 0:
		return "", errors.New("give the follower a name")
	case n > maxNickname:
		return "", fmt.Errorf("the name has %d characters: %d can be", n, maxNickname)
	}
	openid := simulator.MakeUpAccount(uint64(time.Now().UnixNano())).Followers[0]
	if v.Corp() {
		openid = makeUpMember(time.Now())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.room(roomKey{v.AppID, openid})
	if one == nil {
		return "", fmt.Errorf("there are %d followers, and more cannot be", maxRooms)
	}
	one.nickname = name
	return v.address("", "as", openid), nil
}

// doApp changes the app's address, or asks it for the echostr.
func (p *Page) doApp(v *view, r *http.Request) (string, error) {
	address := strings.TrimSpace(r.FormValue("url"))
	if err := p.wechat.update(p.ctx, v.AppID, map[string]any{"callback_url": address}); err != nil {
		return "", err
	}
	if address == "" {
		return "", nil
	}
	if !v.conf.CanPush {
		return "", fmt.Errorf("%s has no Token to sign with: start zhongkong simulate with one", v.AppID)
	}
	return "", p.fly(func(ctx context.Context) {
		_ = p.wechat.call(ctx, http.MethodPost, "verify", map[string]string{"appid": v.AppID}, nil) // what comes of it is in the log
	})
}

func (p *Page) doWhitelist(v *view, r *http.Request) (string, error) {
	list := strings.FieldsFunc(r.FormValue("list"), func(r rune) bool { return strings.ContainsRune(", ;\n\r\t，；", r) })
	return "", p.wechat.update(p.ctx, v.AppID, map[string]any{"whitelist": list})
}

func (p *Page) doState(v *view, r *http.Request) (string, error) {
	state, err := strconv.Atoi(r.FormValue("state"))
	if err != nil {
		return "", errors.New("choose a state")
	}
	return "", p.wechat.update(p.ctx, v.AppID, map[string]any{"state": state})
}

// doToken does to a token what happens in life.
func (p *Page) doToken(v *view, r *http.Request) (string, error) {
	what, pool := r.FormValue("do"), r.FormValue("pool")
	if what != "supersede" && what != "kill" || pool == "" {
		return "", errors.New("there is nothing of this name to do")
	}
	return "", p.wechat.does(p.ctx, v.AppID, what, map[string]string{"pool": pool}, nil)
}

func (p *Page) doClock(_ *view, r *http.Request) (string, error) {
	d, err := time.ParseDuration(r.FormValue("advance"))
	if err != nil || d <= 0 || d > 24*time.Hour {
		return "", errors.New("the clock goes forward, by a day at most at a time")
	}
	return "", p.wechat.call(p.ctx, http.MethodPost, "clock", map[string]string{"advance": d.String()}, nil)
}

// faultSwitch is a fault that the page switches for one account.
type faultSwitch struct {
	key, name string
	fault     simulator.Fault
}

func (s faultSwitch) of(appid string) simulator.Fault {
	f := s.fault
	f.AppID = appid
	return f
}

// switches are in the order in which one would try them.
var switches = []faultSwitch{
	{"busy", "Fetching a token: WeChat is busy (-1)", simulator.Fault{Path: simulator.Fetches, Errcode: -1}},
	{"slow", "Fetching a token takes 10 s", simulator.Fault{Path: simulator.Fetches, Delay: 10 * time.Second}},
	{"lost", "A token is issued, but the answer is lost", simulator.Fault{Path: simulator.Fetches, After: true, Cut: simulator.CutAnswer}},
	{
		"html",
		"Fetching a token: an error page (502)",
		simulator.Fault{Path: simulator.Fetches, Status: 502, Body: "<html><h1>502 Bad Gateway</h1></html>", ContentType: "text/html"},
	},
	{"ip", "The caller's IP is not in the whitelist (40164)", simulator.Fault{Path: simulator.Fetches, Errcode: 40164}},
	{"secret", "The AppSecret is wrong (40125)", simulator.Fault{Path: simulator.Fetches, Errcode: 40125}},
	{"quota", "The day's quota is used up (45009)", simulator.Fault{Errcode: 45009}},
	{"refuse", "APIs refuse every token (40001)", simulator.Fault{Path: simulator.APICalls, Errcode: 40001}},
	{"down", "APIs: WeChat is busy (-1)", simulator.Fault{Path: simulator.APICalls, Errcode: -1}},
}

// doFault switches a fault, or removes one that came from elsewhere.
func (p *Page) doFault(v *view, r *http.Request) (string, error) {
	key, on := r.FormValue("key"), r.FormValue("on") == "1"
	rules, err := p.wechat.faults(p.ctx)
	if err != nil {
		return "", err
	}
	wanted := func(r rule) bool { return strconv.Itoa(r.ID) == key }
	offered := switchesOf(v.AppID)
	if i := slices.IndexFunc(offered, func(s faultSwitch) bool { return s.key == key }); i >= 0 {
		f := offered[i].of(v.AppID)
		wanted = func(r rule) bool { return r.Fault == f }
		if on {
			if slices.ContainsFunc(rules, wanted) {
				return "", nil
			}
			return "", p.wechat.inject(p.ctx, f)
		}
	}
	for _, r := range rules {
		if wanted(r) { // one that was used up in the meantime is gone as well
			_ = p.wechat.call(p.ctx, http.MethodDelete, "faults/"+strconv.Itoa(r.ID), nil, nil)
		}
	}
	return "", nil
}

// doReset takes back all that was done to WeChat's side of the account but the clock, which
// only goes forward.
func (p *Page) doReset(v *view, _ *http.Request) (string, error) {
	if err := p.wechat.call(p.ctx, http.MethodDelete, "faults", nil, nil); err != nil {
		return "", err
	}
	return "", p.wechat.update(p.ctx, v.AppID, map[string]any{"whitelist": []string{}, "state": simulator.Normal})
}

// push sends a message of the view's follower, and shows it before the app has
// answered.
func (p *Page) push(v *view, m push) error {
	m.From, m.AppID = v.OpenID, v.AppID
	var written struct {
		MsgID   int64  `json:"msg_id"`
		Message string `json:"message"`
	}
	if err := p.wechat.call(p.ctx, http.MethodPost, "request", m, &written); err != nil { // says what is missing
		return err
	}
	read, err := callback.ParseMessage([]byte(written.Message))
	if err != nil {
		return err
	}
	// The bubble is there before the first delivery has ended.
	b := sentBy(read)
	m.MsgID, b.msgID, b.at = written.MsgID, written.MsgID, time.Now()
	p.say(roomKey{v.AppID, v.OpenID}, b)
	return p.fly(func(ctx context.Context) {
		_ = p.wechat.call(ctx, http.MethodPost, "push", m, nil) // what comes of it is in the events
	})
}

// button is a button of a menu.
type button struct {
	Type     string   `json:"type"`
	Name     string   `json:"name"`
	Key      string   `json:"key"`
	URL      string   `json:"url"`
	PagePath string   `json:"pagepath"`
	Buttons  []button `json:"sub_button"`
}

// readMenu reads what menu/create took; what is no menu has no buttons.
func readMenu(text []byte) []button {
	var in struct {
		Buttons []button `json:"button"`
	}
	if json.Unmarshal(text, &in) != nil {
		return nil
	}
	return in.Buttons
}

// pick finds a button by its place: "1", or "1.0" below another.
func pick(menu []button, place string) (found button, ok bool) {
	for part := range strings.SplitSeq(place, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || n >= len(menu) {
			return button{}, false
		}
		found, menu = menu[n], menu[n].Buttons
	}
	return found, len(found.Buttons) == 0
}

// tap is the event that a tap pushes, if it pushes one.
func (b button) tap() (m push, pushed bool) {
	menu := map[string]string{"MenuId": "428654020"}
	switch b.Type {
	case "view":
		return push{Type: "VIEW", Value: b.URL, Set: menu}, true
	case "miniprogram":
		return push{Type: "view_miniprogram", Value: b.PagePath, Set: menu}, true
	case "click":
		return push{Type: "CLICK", Value: b.Key}, true
	case "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select":
		return push{Type: b.Type, Value: b.Key}, true
	default: // media_id, view_limited, article_id: WeChat answers by itself
		return push{}, false
	}
}

func problemJSON(text string) string {
	line, _ := json.Marshal(map[string]string{"error": text}) // strings can be written
	return string(line)
}
