package console

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
	"time"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/internal/page"
)

//go:embed *.html
var sources embed.FS

//go:embed static
var static embed.FS

var templates = page.Parse(template.Must(template.New("console").ParseFS(sources, "*.html")))

func files() fs.FS {
	sub, _ := fs.Sub(static, "static") // it is there: the compiler put it there
	return sub
}

const (
	rowsOfPage = 50  // accounts
	maxClients = 200 // that are shown
	maxQuery   = 256 // bytes
)

// view is what one browser looks at. Its exported methods and fields are for the
// templates.
type view struct {
	page    *Page
	session *session // nil: nobody has logged in

	page.Looks

	Query   string   // the accounts are those with this in their name or appid
	At      int      // the page of them, from 1
	AppID   string   // of the page of one account, else ""
	Notices []notice // what came of an act
	Problem string   // what was wrong with a form
	Asked   *question
	Form    url.Values // what was typed into it
	Key     *newKey
	Next    string // after the login
	Live    bool   // changes come by themselves

	all     []gateway.AccountState
	matched int
	rows    []row
	lines   []line
	clients []clientRow
	titles  map[string]string // of clients, by name
	queues  []queueRow
	down    int       // subscribers that take nothing
	more    int       // clients beyond those shown
	known   time.Time // when the store last told of the clients; zero: never
	away    bool
	asOf    time.Time // what is shown of the store
}

// look finds out what a request wants to see.
func (p *Page) look(r *http.Request, one *session) *view {
	v := &view{page: p, session: one, Looks: page.LooksOf(r), AppID: r.PathValue("appid")}
	query := r.URL.Query()
	v.Query = strings.TrimSpace(query.Get("q"))
	v.Query = strings.ToValidUTF8(v.Query[:min(len(v.Query), maxQuery)], "")
	v.At, _ = strconv.Atoi(query.Get("n"))
	if v.AppID == "" {
		v.AppID = query.Get("account") // of what is live
	}
	return v
}

// overview fills in what the first page shows.
func (v *view) overview() {
	v.accounts()
	v.readQueues()
	v.ofStore()
}

func (v *view) accounts() {
	v.all = v.page.data.all()
	matching := v.all
	if v.Query != "" {
		asked := strings.ToLower(v.Query)
		matching = nil
		for _, a := range v.all {
			if strings.Contains(strings.ToLower(called(a)), asked) {
				matching = append(matching, a)
			}
		}
	}
	v.matched = len(matching)
	v.At = min(max(v.At, 1), v.Pages())
	sorted := slices.SortedFunc(slices.Values(matching), worstFirst)
	from := (v.At - 1) * rowsOfPage
	shown := sorted[from:min(from+rowsOfPage, len(sorted))]
	v.setRows(shown)
}

func (v *view) setRows(shown []gateway.AccountState) {
	journals := v.page.data.fetches(shown)
	v.rows = make([]row, len(shown))
	for i, a := range shown {
		v.rows[i] = row{v, a, journals[a.Key.AppID]}
	}
}

// ofStore fills in the journal and the clients.
func (v *view) ofStore() {
	uses, usesAt, usesErr := v.page.data.trail()
	clients, clientsAt, clientsErr := v.page.data.list()
	v.away = usesErr != nil || clientsErr != nil
	v.asOf, v.known = usesAt, clientsAt
	v.lines, v.titles = nil, make(map[string]string, len(clients))
	for _, c := range clients {
		v.titles[c.Name] = c.Title
	}
	for _, u := range uses {
		v.lines = append(v.lines, v.used(u))
	}
	for _, r := range v.rows {
		v.lines = append(v.lines, v.fetched(r.AppID(), r.journal.entries[:min(len(r.journal.entries), maxLines)])...)
	}
	v.lines = newest(v.lines)
	used := map[string]gateway.ClientNumbers{}
	for _, n := range v.page.gateway.ClientNumbers() {
		used[n.Name] = n
	}
	v.more = max(0, len(clients)-maxClients)
	v.clients = make([]clientRow, 0, min(len(clients), maxClients))
	for _, c := range clients[:min(len(clients), maxClients)] {
		v.clients = append(v.clients, clientRow{v, c, used[c.Name]})
	}
}

// account fills in what the page of one account shows, and reports whether there is
// such an account.
func (v *view) account() bool {
	v.all = v.page.data.all()
	a, found := v.find(v.AppID)
	if !found {
		return false
	}
	v.setRows([]gateway.AccountState{a})
	v.away, v.asOf = v.rows[0].journal.read.IsZero(), v.rows[0].journal.good
	v.lines = newest(v.fetched(v.AppID, v.rows[0].journal.entries))
	return true
}

// render executes a template.
func (v *view) render(name string, data any) string {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		v.page.log.Error("a piece of the page cannot be rendered", "log_code", "console_not_rendered", "piece", name, "error", err)
		return ""
	}
	return b.String()
}

// The parts of a view, for the templates.
func (v *view) Rows() []row          { return v.rows }
func (v *view) Row() row             { return v.rows[0] }
func (v *view) Lines() []line        { return v.lines }
func (v *view) Clients() []clientRow { return v.clients }
func (v *view) More() int            { return v.more }
func (v *view) Known() bool          { return !v.known.IsZero() }
func (v *view) Told() bool           { return !v.asOf.IsZero() }
func (v *view) CSRF() string         { return v.session.csrf }
func (v *view) Version() string      { return v.page.version }
func (v *view) Gateway() string      { return v.page.name }
func (v *view) MaxLines() int        { return maxLines }
func (v *view) Total() int           { return len(v.all) }
func (v *view) Matched() int         { return v.matched }
func (v *view) Number(n int) string  { return lang.Number(n) }

// AsOf says what is still shown of a store that does not answer.
func (v *view) AsOf() string {
	if v.asOf.IsZero() {
		return v.T("Clients and journal cannot be shown. The accounts continue with the tokens that they have.")
	}
	return v.T("Clients and journal are as of %s. The accounts continue with the tokens that they have.", clock(v.asOf))
}

// ClientsAsOf and LinesAsOf say how old a list is that the store does not give now, "" for
// one that is new or unknown.
func (v *view) ClientsAsOf() string { return v.oldAs(v.known) }

// LinesAsOf is about the journal.
func (v *view) LinesAsOf() string { return v.oldAs(v.asOf) }

func (v *view) oldAs(of time.Time) string {
	if !v.away || of.IsZero() {
		return ""
	}
	return v.T("As of %s", clock(of))
}

// Pages is how many pages of accounts there are, at least one.
func (v *view) Pages() int { return max(1, (v.matched+rowsOfPage-1)/rowsOfPage) }

// Count says which accounts are shown.
func (v *view) Count() string {
	if v.matched == 0 {
		return ""
	}
	from := (v.At-1)*rowsOfPage + 1
	if v.Pages() == 1 {
		return lang.Number(v.matched)
	}
	return v.T("%[1]s–%[2]s of %[3]s", lang.Number(from), lang.Number(from+len(v.rows)-1), lang.Number(v.matched))
}

// Before and After are the pages beside this one, "" when there is none.
func (v *view) Before() string { return v.turn(v.At - 1) }

// After is the next page.
func (v *view) After() string { return v.turn(v.At + 1) }

func (v *view) turn(n int) string {
	if n < 1 || n > v.Pages() {
		return ""
	}
	return v.address("", n)
}

// address is where the view is, at another page of the accounts.
func (v *view) address(path string, n int) string {
	q := url.Values{}
	if v.Query != "" {
		q.Set("q", v.Query)
	}
	if n > 1 {
		q.Set("n", strconv.Itoa(n))
	}
	if path == "live" && v.AppID != "" {
		q.Set("account", v.AppID)
	}
	if len(q) == 0 {
		return Path + path
	}
	return Path + path + "?" + q.Encode()
}

// space is what stands between sentences.
func (v *view) space() string {
	if v.Lang == lang.Chinese {
		return ""
	}
	return " "
}

// Stream is where the changes come from.
func (v *view) Stream() string { return v.address("live", v.At) }

// Say says a notice.
func (v *view) Say(n notice) string {
	text := v.T(n.Text, n.Args...)
	if n.Plain != "" {
		text += v.space() + n.Plain
	}
	return text
}

// durable reports whether the store's journals tell the last day of all that is looked
// at. They are not read for accounts that are not shown.
func (v *view) durable() bool {
	unknown := func(r row) bool { return !r.journal.known }
	return (v.AppID != "" || len(v.rows) == len(v.all)) && !slices.ContainsFunc(v.rows, unknown)
}

// Scope says who has seen the token's moments in the plot. Calls are this gateway's.
func (v *view) Scope() string {
	if v.durable() {
		return v.T("all gateways")
	}
	return v.T("this gateway, since its start")
}

// Plot is the last day of what is looked at.
func (v *view) Plot() plotView {
	now := time.Now()
	p := plotView{v: v, ID: "plot", Scope: v.T("All accounts over the last 24 hours"), past: newPast(now)}
	if v.AppID != "" {
		p.Scope = v.T("%s over the last 24 hours", v.called(v.AppID))
	}
	durable := v.durable()
	p.past.count(v.page.gateway.History(v.AppID), v.page.gateway.Started(), !durable)
	if durable {
		for _, r := range v.rows {
			p.past.add(r.journal.entries)
		}
	}
	return p
}

// clientRow is a client as the page shows it.
type clientRow struct {
	v    *view
	c    gateway.Client
	used gateway.ClientNumbers // at this gateway, since it started
}

// The parts of a client, for the templates.
func (c clientRow) Name() string                      { return c.c.Name }
func (c clientRow) Title() string                     { return c.c.Title }
func (c clientRow) Called() string                    { return both(c.c.Title, c.c.Name) }
func (c clientRow) Rename() string                    { return clientPath("title", c.c.Name) }
func (c clientRow) T(text string, args ...any) string { return c.v.T(text, args...) }
func (c clientRow) Real() bool                        { return c.c.Real }
func (c clientRow) Paths() []string                   { return c.c.Paths }
func (c clientRow) Created() time.Time                { return c.c.Created }
func (c clientRow) Rotate() string                    { return clientPath("rotate", c.c.Name) }
func (c clientRow) Revoke() string                    { return clientPath("revoke", c.c.Name) }
func (c clientRow) Sites() string                     { return clientPath("sites", c.c.Name) }
func (c clientRow) Returns() []string                 { return c.c.Returns }
func (c clientRow) Origins() []string                 { return c.c.Origins }

// Over reports whether its end has come.
func (c clientRow) Over() bool { return !c.c.Ends.IsZero() && !time.Now().Before(c.c.Ends) }

// Ends is the day of its end, "" when there is none.
func (c clientRow) Ends() string {
	if c.c.Ends.IsZero() {
		return ""
	}
	return c.c.Ends.Local().Format(time.DateOnly)
}

// Accounts says which it may use.
func (c clientRow) Accounts() string {
	if slices.Contains(c.c.Accounts, gateway.AllAccounts) {
		return c.T("all accounts")
	}
	first := c.v.called(c.c.Accounts[0])
	if len(c.c.Accounts) == 1 {
		return first
	}
	if c.v.Lang == lang.Chinese {
		return c.T("%s and %d more", first, len(c.c.Accounts))
	}
	return c.T("%s and %d more", first, len(c.c.Accounts)-1)
}

// Last says when it last called this gateway, in steps that need not change every
// second; Calls how often it has.
func (c clientRow) Last() string {
	switch ago := time.Since(c.used.Last); {
	case c.used.Last.IsZero():
		return c.T("not since the start")
	case ago < time.Minute:
		return c.T("just now")
	default:
		return c.T("%s ago", c.v.span(ago.Truncate(time.Minute)))
	}
}

// Calls says how many calls it made.
func (c clientRow) Calls() string {
	switch c.used.Calls {
	case 0:
		return ""
	case 1:
		return c.T("1 call")
	default:
		return c.T("%s calls", lang.Number(int(c.used.Calls)))
	}
}

// Rate is its limit.
func (c clientRow) Rate() string {
	if c.c.Rate == 0 {
		return ""
	}
	return c.T("%s/s", strconv.FormatFloat(c.c.Rate, 'g', -1, 64))
}

func clientPath(what, name string) string {
	return Path + "clients/" + what + "?" + url.Values{"name": {name}}.Encode()
}
