package chat

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/internal/page"
	"github.com/zhongkong-go/zhongkong/simulator"
)

//go:embed chat.html
var source string

//go:embed static
var static embed.FS

var pages = page.Parse(template.Must(template.New("chat").Parse(source)))

func files() fs.FS {
	sub, _ := fs.Sub(static, "static") // it is there: the compiler put it there
	return sub
}

// view is what one browser looks at. Its exported methods and fields are for the
// templates.
type view struct {
	page *Page

	page.Looks

	Base    string // the address of WeChat's API
	AppID   string
	OpenID  string
	Secrets bool   // the browser asked for the secrets
	Problem string // what went wrong with what was sent without the script
	Seq     uint64 // everything up to here is on the page
	all     accounts
	conf    account
}

// look finds out what a request wants to see: its parameters account, as and
// secrets. What there is not is the first there is.
func (p *Page) look(r *http.Request) (*view, error) {
	p.catchUp()
	v := &view{page: p, Looks: page.LooksOf(r), Base: "http://" + r.Host}
	asked := r.FormValue("account")
	wanted := r.FormValue("secrets") == "1"
	var err error
	if v.all, err = p.wechat.accounts(p.ctx, wanted); err != nil {
		return nil, err
	}
	var found bool
	if v.conf, found = v.all.find(asked); !found {
		v.conf = v.all.Accounts[0]
	}
	v.AppID, v.Secrets = v.conf.AppID, wanted && v.all.MadeUp

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
	v.Looks = v.Leading(v.Here()) // a form that went wrong is at an address of its own
	return v, nil
}

// again looks once more at the same.
func (v *view) again() error {
	v.page.catchUp()
	all, err := v.page.wechat.accounts(v.page.ctx, v.Secrets)
	if err != nil {
		return err
	}
	v.all = all
	v.conf, _ = all.find(v.AppID)
	return nil
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
func (v *view) Account() simulator.Account { return v.conf.Account }

// Mode is how messages are pushed to the app.
func (v *view) Mode() string { return string(v.conf.Mode) }

// MayShow reports whether secrets can be asked for.
func (v *view) MayShow() bool { return v.all.MadeUp }

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
	for _, a := range v.all.Accounts {
		all = append(all, choice{
			Name: a.AppID, Detail: v.T(a.Kind.String()), Here: a.AppID == v.AppID, Link: v.address("", "account", a.AppID, "as", ""),
		})
	}
	return all
}

// Followers are those of the account, and anyone else who has said something.
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

// Initial is what is in a follower's picture.
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
	last := choice{Value: "SCAN", Name: v.T("Scan"), Hint: v.T("The code's scene; empty for 123")}
	if v.Corp() {
		last = choice{Value: enterAgent, Name: v.T("Open the app"), Hint: v.T("Nothing to write")}
	}
	return []choice{
		{Value: "text", Name: v.T("Text"), Hint: v.WriteAs(), Needed: true},
		{Value: "image", Name: v.T("Image"), Hint: v.T("PicUrl; empty for a made-up one")},
		{Value: "voice", Name: v.T("Voice"), Hint: v.T("What was said, if it is recognised")},
		{Value: "video", Name: v.T("Video"), Hint: v.T("MediaId; empty for a made-up one")},
		{Value: "location", Name: v.T("Location"), Hint: v.T("The place's name; empty for a made-up one")},
		{Value: "link", Name: v.T("Link"), Hint: v.T("Address; empty for a made-up one")},
		last,
	}
}

// WriteAs says as whom one writes.
func (v *view) WriteAs() string {
	if v.Corp() {
		return v.T("Write as this member")
	}
	return v.T("Write as this follower")
}

// Number writes a number with its thousands apart.
func (v *view) Number(n int) string { return lang.Number(n) }

// Menu is the menu that the app has created.
func (v *view) Menu() []button { return readMenu(v.conf.Menu) }

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

// name is a number of this process, for Last-Event-ID.
func (p *Page) name(seq uint64) string { return p.boot + "-" + strconv.FormatUint(seq, 10) }

// seqOf reads what name wrote, and reports false for another process's.
func (p *Page) seqOf(name string) (uint64, bool) {
	boot, number, _ := strings.Cut(name, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	return seq, err == nil && boot == p.boot
}
