package chat

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/page"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
	"github.com/zhongkong-go/zhongkong/simulator"
)

//go:embed chat.html
var source string

//go:embed static
var static embed.FS

var pages = template.Must(template.New("chat").Parse(source))

func files() fs.FS {
	sub, _ := fs.Sub(static, "static") // it is there: the compiler put it there
	return sub
}

// view is what one browser looks at. Its exported methods and fields are for the
// templates.
type view struct {
	page *Page

	Lang    page.Lang
	Base    string // the address of WeChat's API
	AppID   string
	OpenID  string
	Secrets bool   // the browser asked for the secrets
	Problem string // what went wrong with what was sent without the script
	Seq     uint64 // everything up to here is on the page
	conf    simulator.Account
}

// look finds out what a request wants to see: its parameters account, as and
// secrets. What there is not is the first there is.
func (p *Page) look(r *http.Request) *view {
	v := &view{page: p, Lang: page.LangOf(r), Base: "http://" + r.Host}
	asked := r.FormValue("account")
	accounts := p.Simulator.Accounts()
	at := max(0, slices.IndexFunc(accounts, func(a simulator.Account) bool { return a.AppID == asked }))
	v.conf, v.AppID = accounts[at], accounts[at].AppID
	v.Secrets = p.madeUp && r.FormValue("secrets") == "1"

	p.mu.Lock()
	defer p.mu.Unlock()
	v.OpenID = r.FormValue("as")
	if p.rooms[roomKey{v.AppID, v.OpenID}] == nil {
		v.OpenID = ""
		if len(v.conf.Followers) > 0 {
			v.OpenID = v.conf.Followers[0]
		}
		p.room(roomKey{v.AppID, v.OpenID})
	}
	v.Seq = p.seq
	return v
}

// again looks once more at the same.
func (v *view) again() {
	v.conf, _ = v.page.account(v.AppID)
}

// address is where the view is; set has names and values of its query, "" for none.
func (v *view) address(path string, set ...string) string {
	q := url.Values{"account": {v.AppID}, "as": {v.OpenID}}
	if v.Secrets {
		q.Set("secrets", "1")
	}
	for pair := range slices.Chunk(set, 2) {
		q.Set(pair[0], pair[1])
		if pair[1] == "" {
			q.Del(pair[0])
		}
	}
	return Path + path + "?" + q.Encode()
}

// render executes a template of chat.html.
func (v *view) render(name string, data any) string {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		return "" // a mistake in chat.html, which every test meets
	}
	return b.String()
}

// Act is where a form of that name goes.
func (v *view) Act(what string) string { return v.address(what) }

// T says a text of chat.html in the view's language.
func (v *view) T(text string, args ...any) string { return chinese.Say(v.Lang, text, args...) }

// Account is the account that is looked at; its secrets are there only where they
// may be shown and were asked for.
func (v *view) Account() simulator.Account {
	a := v.conf
	if !v.Secrets {
		a.Secret, a.Token, a.AESKey = "", "", ""
	}
	return a
}

// Mode is how messages are pushed to the app.
func (v *view) Mode() string {
	switch {
	case v.conf.Mode != "":
		return string(v.conf.Mode)
	case v.conf.AESKey != "":
		return string(simulator.Safe)
	default:
		return string(simulator.Plain)
	}
}

// MayShow reports whether secrets can be asked for.
func (v *view) MayShow() bool { return v.page.madeUp }

// Here, Live and Toggle are addresses.
func (v *view) Here() string { return v.address("") }

// Live is where the changes come from.
func (v *view) Live() string { return v.address("live", "since", v.page.name(v.Seq)) }

// Toggle shows or hides the secrets.
func (v *view) Toggle() string {
	if v.Secrets {
		return v.address("", "secrets", "")
	}
	return v.address("", "secrets", "1")
}

// choice is something to choose from.
type choice struct {
	Name, Detail, Link string
	Here               bool
	Left               bool // a follower who has left
	Tone               int  // which of the colours
	Value              string
	Hint               string
	Needed             bool
}

// Accounts are the accounts to choose from.
func (v *view) Accounts() []choice {
	var all []choice
	for _, a := range v.page.Simulator.Accounts() {
		all = append(all, choice{Name: a.AppID, Here: a.AppID == v.AppID, Link: v.address("", "account", a.AppID, "as", "")})
	}
	return all
}

// Followers are those of the account, and whoever else has said something.
func (v *view) Followers() []choice {
	v.page.mu.Lock()
	defer v.page.mu.Unlock()
	var all []choice
	for _, key := range v.page.order {
		if key.appid != v.AppID {
			continue
		}
		all = append(all, choice{
			Name: v.page.rooms[key].nickname, Detail: key.openid, Here: key.openid == v.OpenID, Tone: len(all) % 6,
			Left: !slices.Contains(v.conf.Followers, key.openid), Link: v.address("", "as", key.openid),
		})
	}
	return all
}

// Initial is what stands in a follower's picture.
func (c choice) Initial() string {
	for _, r := range strings.TrimPrefix(c.Name, "小") {
		return strings.ToUpper(string(r))
	}
	return "?"
}

// Me is the follower whom the view writes as.
func (v *view) Me() choice {
	for _, one := range v.Followers() {
		if one.Here {
			return one
		}
	}
	return choice{Detail: v.OpenID, Left: true}
}

// Kinds are the messages to choose from.
func (v *view) Kinds() []choice {
	return []choice{
		{Value: "text", Name: v.T("Text"), Hint: v.T("Write as this follower"), Needed: true},
		{Value: "image", Name: v.T("Image"), Hint: v.T("PicUrl; empty for a made-up one")},
		{Value: "voice", Name: v.T("Voice"), Hint: v.T("What was said, if it is recognised")},
		{Value: "video", Name: v.T("Video"), Hint: v.T("MediaId; empty for a made-up one")},
		{Value: "location", Name: v.T("Location"), Hint: v.T("The place's name; empty for a made-up one")},
		{Value: "link", Name: v.T("Link"), Hint: v.T("Address; empty for a made-up one")},
		{Value: "SCAN", Name: v.T("Scan"), Hint: v.T("The code's scene; empty for 123")},
	}
}

// tokenView is a pool's current token.
type tokenView struct {
	Pool   simulator.Pool
	Path   string
	Ending string // "" when there was none yet
	Value  string // only where it was asked for
	Left   int    // seconds, rounded, for the bar
	Life   int
	Words  string
	Level  string
	Issued int
	Calls  int
}

// Name is what people call the pool.
func (t tokenView) Name() string { return strings.TrimPrefix(t.Path, "/cgi-bin/") }

// Tokens are the pools' current tokens.
func (v *view) Tokens() []tokenView {
	wx := v.page.Simulator
	stats := wx.Stats(v.AppID)
	all := []tokenView{
		{Pool: simulator.Stable, Path: simulator.StableTokenPath, Issued: stats.Stable.Issued + stats.Stable.Outside, Calls: stats.Stable.Calls},
		{Pool: simulator.Classic, Path: simulator.TokenPath, Issued: stats.Classic.Issued + stats.Classic.Outside, Calls: stats.Classic.Calls},
	}
	for i := range all {
		t := &all[i]
		t.Life = int(v.page.life / time.Second)
		value := wx.Latest(v.AppID, t.Pool)
		if value == "" {
			t.Words, t.Level = v.T("Nobody has fetched one yet"), "none"
			continue
		}
		t.Ending = ending(value)
		if v.Secrets {
			t.Value = value
		}
		info := wx.Inspect(value)
		step := max(t.Life/200, 1) // the bar need not move every second
		t.Left = (int(info.Left/time.Second) + step - 1) / step * step
		switch {
		case info.Errcode == 42001:
			t.Words, t.Level = v.T("Expired: APIs answer 42001"), "bad"
		case info.Errcode != 0:
			t.Words, t.Level = v.T("Dead: APIs answer 40001"), "bad"
		case info.Left < v.page.life/24:
			t.Words, t.Level = v.T("%s left", chinese.Span(v.Lang, info.Left)), "warn"
		default:
			t.Words, t.Level = v.T("%s left", chinese.Span(v.Lang, info.Left)), "ok"
		}
	}
	return all
}

// Ahead says how far the clock was moved.
func (v *view) Ahead() string {
	ahead := time.Until(v.page.Simulator.Clock.Now()).Round(time.Second)
	if ahead < time.Second {
		return v.T("The clock shows the real time.")
	}
	return v.T("The clock is %s ahead.", chinese.Span(v.Lang, ahead))
}

// Quotas are today's counts.
func (v *view) Quotas() []simulator.Quota {
	all := v.page.Simulator.Quotas(v.AppID)
	return all[:min(len(all), 12)]
}

// Number writes a number with its thousands apart.
func (v *view) Number(n int) string { return page.Number(n) }

// Whitelist is the list as it is typed.
func (v *view) Whitelist() string { return strings.Join(v.conf.Whitelist, ", ") }

// States are what WeChat may hold against an account.
func (v *view) States() []choice {
	all := []choice{{Value: "0", Name: v.T("Normal"), Here: v.conf.State == simulator.Normal}}
	for _, s := range []simulator.State{
		simulator.SecretFrozen, simulator.Banned, simulator.Frozen, simulator.ThirdParty,
		simulator.ConfirmationPending, simulator.ApprovalNeeded, simulator.RefusedForDay, simulator.RefusedForHour,
	} {
		info, _ := errcode.Lookup(int(s))
		text := info.Cause
		if v.Lang == page.Chinese {
			text = info.CauseZH
		}
		all = append(all, choice{Value: strconv.Itoa(int(s)), Name: strconv.Itoa(int(s)) + " " + strings.TrimRight(text, ".。"), Here: v.conf.State == s})
	}
	return all
}

// switchView is a fault that can be switched.
type switchView struct {
	Key  string
	Name string
	On   bool
	Hits int
}

// Switches are the faults that the page offers.
func (v *view) Switches() []switchView {
	rules := v.page.Simulator.Faults()
	var all []switchView
	for _, s := range switches {
		one := switchView{Key: s.key, Name: v.T(s.name)}
		for _, r := range rules {
			if r.Fault() == s.of(v.AppID) {
				one.On, one.Hits = true, r.Hits()
			}
		}
		all = append(all, one)
	}
	return all
}

// Others are the faults that were injected elsewhere.
func (v *view) Others() []switchView {
	var all []switchView
	for _, r := range v.page.Simulator.Faults() {
		f := r.Fault()
		if slices.ContainsFunc(switches, func(s faultSwitch) bool { return s.of(f.AppID) == f && f.AppID != "" }) {
			continue
		}
		text, _ := json.Marshal(f) // a Fault that is at work can be written
		all = append(all, switchView{Key: strconv.Itoa(r.ID()), Name: string(text), Hits: r.Hits()})
	}
	return all
}

// Menu is the menu that the app has created.
func (v *view) Menu() []button { return readMenu(v.page.Simulator.Menu(v.AppID)) }

// HasApp reports whether there is an address to push to.
func (v *view) HasApp() bool { return v.conf.CallbackURL != "" }

// Bubbles and Entries are what is on the page when it is loaded.
func (v *view) Bubbles() []bubbleView { return v.bubbles(0, v.Seq) }

// Entries are the requests, the newest first.
func (v *view) Entries() []entryView {
	all := v.entries(0, v.Seq)
	slices.Reverse(all)
	return all
}

// bubbles are those that changed after since, up to until.
func (v *view) bubbles(since, until uint64) []bubbleView {
	v.page.mu.Lock()
	defer v.page.mu.Unlock()
	var all []bubbleView
	if r := v.page.rooms[roomKey{v.AppID, v.OpenID}]; r != nil {
		for _, b := range r.bubbles {
			if b.seq > since && b.number <= until {
				all = append(all, bubbleView{b, v})
			}
		}
	}
	return all
}

func (v *view) entries(since, until uint64) []entryView {
	v.page.mu.Lock()
	defer v.page.mu.Unlock()
	var all []entryView
	for _, e := range v.page.entries {
		if e.seq > since && e.seq <= until {
			all = append(all, entryView{e, v})
		}
	}
	return all
}

// bubbleView is a bubble in a language.
type bubbleView struct {
	b bubble
	v *view
}

// The parts of a bubble, for the template.
func (b bubbleView) ID() string           { return "bubble-" + strconv.FormatUint(b.b.number, 10) }
func (b bubbleView) Side() side           { return b.b.side }
func (b bubbleView) Kind() string         { return b.b.kind }
func (b bubbleView) Title() string        { return b.b.title }
func (b bubbleView) Text() string         { return b.b.text }
func (b bubbleView) Link() string         { return b.b.link }
func (b bubbleView) Rows() [][2]string    { return b.b.rows }
func (b bubbleView) Cards() []card        { return b.b.cards }
func (b bubbleView) At() string           { return b.b.at.Format("15:04") }
func (b bubbleView) ISO() string          { return b.b.at.Format(time.RFC3339) }
func (b bubbleView) Failed() bool         { return b.b.kind == "failure" }
func (b bubbleView) T(text string) string { return b.v.T(text) }

// Who says it, for a screen reader too.
func (b bubbleView) Who() string {
	switch {
	case b.b.side == theirs:
		return b.v.Me().Name
	case b.Failed():
		return b.T("WeChat")
	default:
		return b.T("Your app")
	}
}

// Way is how the app sent it.
func (b bubbleView) Way() string {
	return b.T(map[string]string{"reply": "passive reply", "custom": "customer service message", "template": "template message"}[b.b.way])
}

// Label is the kind of what is not plain text.
func (b bubbleView) Label() string {
	if b.b.kind == "text" || b.b.side == nobody || b.Failed() {
		return ""
	}
	labels := map[string]string{
		"image": "Image", "voice": "Voice", "video": "Video", "shortvideo": "Video", "location": "Location", "link": "Link", "music": "Music",
		"news": "News", "template": "Template", "msgmenu": "Choice", "file": "File", "miniprogrampage": "Mini program",
	}
	if label := labels[b.b.kind]; label != "" {
		return b.T(label)
	}
	return b.b.kind
}

// Event is an event in words.
func (b bubbleView) Event() string {
	key := b.b.text
	scene := strings.TrimPrefix(key, "qrscene_")
	switch strings.ToLower(b.b.event) {
	case "subscribe":
		if key != "" {
			return b.v.T("Follows the account, by the QR code %s", scene)
		}
		return b.T("Follows the account")
	case "unsubscribe":
		return b.T("Has left the account")
	case "scan":
		return b.v.T("Scanned the QR code %s", scene)
	case "click":
		return b.v.T("Tapped a menu button: %s", key)
	case "view":
		return b.v.T("Opened a menu link: %s", key)
	case "note":
		return b.T(key)
	default:
		return strings.TrimSpace(b.b.event + " " + key)
	}
}

// Level and Status say what became of what the follower sent.
func (b bubbleView) Level() string {
	switch {
	case b.b.msgID == 0 || b.b.end == simulator.Replied:
		return ""
	case b.b.end == "" && b.b.tries == 0:
		return "busy"
	case b.b.end == "":
		return "warn"
	case b.b.end == simulator.Failed || b.b.end == simulator.Accepted:
		return "bad"
	default:
		return "ok"
	}
}

// Status says it in words.
func (b bubbleView) Status() string {
	switch {
	case b.Level() == "":
		return ""
	case b.Level() == "busy":
		return b.T("Waiting for your app…")
	case b.Level() == "warn":
		return b.v.T("Delivery %d went wrong; WeChat tries again…", b.b.tries)
	default:
		return b.v.verdict(b.b.end, b.b.reason)
	}
}

// verdict is a push's verdict in words.
func (v *view) verdict(end simulator.Verdict, reason string) string {
	words := map[simulator.Verdict]string{
		simulator.Replied: "Replied", simulator.Silent: "Fine, and the follower sees nothing", simulator.Failed: "Your app failed",
		simulator.Verified: "Verified", simulator.Refused: "Your app refused the forgery", simulator.Accepted: "Your app fell for a forgery",
	}
	separator := ": "
	if v.Lang == page.Chinese {
		separator = "："
	}
	return v.T(words[end]) + separator + because(v.Lang, reason)
}

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
	fetch := o.Path == simulator.TokenPath || o.Path == simulator.StableTokenPath
	switch {
	case o.Errcode != 0:
		info, _ := errcode.Lookup(o.Errcode)
		if fetch {
			info = errcode.AtTokenEndpoint(o.Errcode)
		}
		if e.v.Lang == page.Chinese {
			return info.CauseZH + " " + info.RemedyZH
		}
		return info.Cause + " " + info.Remedy
	case o.Lost:
		return e.T("The caller did not get the whole answer.")
	case o.Status == http.StatusNotFound:
		return e.T("There is nothing at this path.")
	case o.Status == http.StatusPreconditionFailed:
		return e.T("The body came without Content-Length, which WeChat refuses.")
	case o.Status != http.StatusOK:
		return e.T("The caller got HTTP %d in place of an answer.", o.Status)
	case fetch:
		return e.T("The caller has the token.")
	case o.Path == "/cgi-bin/message/custom/send", o.Path == "/cgi-bin/message/template/send":
		return e.T("The follower has the message.")
	case o.Path == "/cgi-bin/menu/create":
		return e.T("The menu is below the chat.")
	default:
		return e.T("Carried out.")
	}
}

// name is a number of this process, for Last-Event-ID.
func (p *Page) name(seq uint64) string { return p.boot + "-" + strconv.FormatUint(seq, 10) }

// seqOf reads what name wrote, and reports false for another process's.
func (p *Page) seqOf(name string) (uint64, bool) {
	boot, number, _ := strings.Cut(name, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	return seq, err == nil && boot == p.boot
}
