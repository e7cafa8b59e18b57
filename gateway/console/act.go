package console

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/internal/named"
)

// question is asked before something is done.
type question struct {
	Title  string
	Text   []string
	Danger bool   // it takes something away
	Kind   string // which fields the form has: "add", "rotate", "sites", "title" or ""
	Action string // where the form goes
	Button string
	Back   string

	Accounts []gateway.AccountState // of "add": to choose from, none when there are too many

	Now string // of "title": what the client has

	Returns, Origins string // of "sites": what the client has, one a line
}

// newKey is shown once.
type newKey struct {
	Name    string
	Key     string
	AppID   string // one that it may be used for
	Rotated bool
}

// fewAppids is how many accounts a form lists to choose from.
const fewAppids = 24

// ask shows a question.
func (p *Page) ask(about func(*view, *http.Request) *question) served {
	return func(w http.ResponseWriter, r *http.Request, one *session) {
		p.askAgain(w, r, one, about, "")
	}
}

// askAgain shows a question again, with the problem of what was sent: "" for none.
func (p *Page) askAgain(w http.ResponseWriter, r *http.Request, one *session, about func(*view, *http.Request) *question, problem string) {
	v := p.look(r, one)
	v.all = p.data.all()
	v.Problem, v.Form = problem, r.PostForm
	v.Asked = about(v, r)
	if v.Asked == nil {
		p.notFound(w, r, one)
		return
	}
	status := http.StatusOK
	if problem != "" {
		status = http.StatusUnprocessableEntity
	}
	p.write(w, status, "question", v)
}

// Typed is what was typed into a field, or what stands in it at first.
func (v *view) Typed(name, first string) string {
	if !v.Form.Has(name) {
		return first
	}
	return v.Form.Get(name)
}

// Chosen reports whether a box was ticked.
func (v *view) Chosen(name, value string) bool { return slices.Contains(v.Form[name], value) }

func askRefresh(v *view, _ *http.Request) *question {
	if _, found := v.find(v.AppID); !found {
		return nil
	}
	return &question{
		Title: v.T("Check the token of %s with WeChat?", v.called(v.AppID)),
		Text: []string{
			v.T("The gateway calls WeChat with the token, and has it renewed if WeChat refuses it. A token that WeChat accepts is kept: a new one would only end it for the programs that use it."),
			v.T("If there is no token, one is fetched, unless an attempt failed a short time ago: then you see what is wrong."),
		},
		Action: accountPath(v.AppID) + "/refresh", Button: v.T("Check the token"), Back: accountPath(v.AppID),
	}
}

func (p *Page) doRefresh(w http.ResponseWriter, r *http.Request, one *session) {
	v := p.look(r, one)
	came, err := p.gateway.Refresh(r.Context(), actor(r), v.AppID)
	p.changed()
	var failure *custody.Error
	var n notice
	switch {
	case errors.Is(err, gateway.ErrNoAccount):
		p.notFound(w, r, one)
		return
	case errors.As(err, &failure):
		cause, remedy := v.explain(failure)
		n = notice{Level: "bad", Text: "There is no token that works.", Plain: cause + v.space() + remedy}
		if failure.RetryAfter > 0 {
			n.Plain += v.space() + v.T("The next attempt is in %s.", v.span(failure.RetryAfter))
		}
	case err != nil:
		n = notice{Level: "bad", Text: "It could not be found out.", Plain: sentence(named.Plain(err).Error())}
	case came == gateway.RefreshKept:
		n = notice{Level: "ok", Text: "WeChat accepts the token, so it was kept."}
	case came == gateway.RefreshRenewed:
		n = notice{Level: "ok", Text: "WeChat refused the token, and it was renewed."}
	default:
		n = notice{Level: "ok", Text: "There was no token; it was fetched."}
	}
	p.sessions.tell(one, n)
	http.Redirect(w, r, accountPath(v.AppID), http.StatusSeeOther) //nolint:gosec // it begins with Path, whatever the appid
}

// changed shows what was done at once.
func (p *Page) changed() {
	p.data.forget()
	p.bell.Ring()
}

func askAdd(v *view, _ *http.Request) *question {
	q := &question{
		Title: v.T("Add a client"), Kind: "add",
		Text:   []string{v.T("A client is a program that may use the gateway. It gets a key of its own, which is shown here once.")},
		Action: Path + "clients/add", Button: v.T("Add it and show the key"), Back: Path + "#clients",
	}
	if len(v.all) <= fewAppids {
		q.Accounts = v.all
	}
	return q
}

// clientOf reads the form of a new client.
func clientOf(v *view, form url.Values) (gateway.Client, error) {
	c := gateway.Client{
		Name: strings.TrimSpace(form.Get("name")), Title: strings.TrimSpace(form.Get("title")),
		Real: form.Get("real") == "1", Paths: strings.Fields(form.Get("paths")),
	}
	c.Returns, c.Origins = strings.Fields(form.Get("returns")), strings.Fields(form.Get("origins"))
	for _, text := range form["account"] {
		c.Accounts = append(c.Accounts, strings.Fields(strings.ReplaceAll(text, ",", " "))...)
	}
	if slices.Contains(c.Accounts, gateway.AllAccounts) {
		c.Accounts = []string{gateway.AllAccounts}
	}
	if text := strings.TrimSpace(form.Get("rate")); text != "" {
		rate, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(rate) || rate < 0 {
			return c, errors.New(v.T("The rate has to be a number of calls per second."))
		}
		c.Rate = rate
	}
	if text := strings.TrimSpace(form.Get("ends")); text != "" {
		ends, err := time.ParseInLocation(time.DateOnly, text, time.Local)
		if err != nil {
			return c, errors.New(v.T("The end has to be a day such as 2030-01-31."))
		}
		c.Ends = ends
	}
	switch {
	case c.Name == "":
		return c, errors.New(v.T("Give the client a name."))
	case len(c.Accounts) == 0:
		return c, errors.New(v.T("Choose at least one account."))
	}
	return c, nil
}

func (p *Page) doAdd(w http.ResponseWriter, r *http.Request, one *session) {
	v := p.look(r, one)
	c, err := clientOf(v, r.PostForm)
	var key custody.Secret
	if err == nil {
		key, err = p.gateway.Clients(actor(r)).Add(r.Context(), c)
	}
	if err != nil {
		p.askAgain(w, r, one, askAdd, v.problem(err))
		return
	}
	p.gateway.Look(r.Context())
	p.changed()
	v.Key = &newKey{Name: both(c.Title, c.Name), Key: key.Reveal(), AppID: c.Accounts[0]}
	p.write(w, http.StatusOK, "key", v)
}

// problem is why something was not done, as far as it goes in the view's language.
func (v *view) problem(err error) string {
	switch {
	case errors.Is(err, clients.ErrClientExists):
		return v.T("There is a client of that name already.")
	case errors.Is(err, clients.ErrNoClient):
		return v.T("There is no such client any more.")
	default:
		text := reasons().In(v.Lang, named.Plain(err).Error())
		if v.Lang == lang.Chinese {
			return strings.TrimSuffix(text, "。") + "。"
		}
		return sentence(text)
	}
}

// nameOf is the client that a question or a form is about.
func nameOf(r *http.Request) string { return r.URL.Query().Get("name") }

// calledClient is what people call a client, as far as its title is known.
func (v *view) calledClient(name string) string {
	list, _, _ := v.page.data.list()
	for _, c := range list {
		if c.Name == name {
			return both(c.Title, name)
		}
	}
	return name
}

func askRotate(v *view, r *http.Request) *question {
	name := nameOf(r)
	return &question{
		Title: v.T("Rotate the key of %s?", v.calledClient(name)), Kind: "rotate",
		Text:   []string{v.T("You see the new key once, here. The old one, and the tokens that were fetched with it, work for as long as you choose.")},
		Action: clientPath("rotate", name), Button: v.T("Make a new key"), Back: Path + "#clients",
	}
}

func (p *Page) doRotate(w http.ResponseWriter, r *http.Request, one *session) {
	v := p.look(r, one)
	name := nameOf(r)
	grace, err := time.ParseDuration(r.PostForm.Get("grace"))
	if err != nil || grace < 0 {
		p.askAgain(w, r, one, askRotate, v.T("Choose how long the old key works."))
		return
	}
	key, err := p.gateway.Clients(actor(r)).Rotate(r.Context(), name, grace)
	if err != nil {
		p.askAgain(w, r, one, askRotate, v.problem(err))
		return
	}
	p.gateway.Look(r.Context())
	p.changed()
	v.Key = &newKey{Name: v.calledClient(name), Key: key.Reveal(), Rotated: true}
	p.write(w, http.StatusOK, "key", v)
}

func askSites(v *view, r *http.Request) *question {
	name := nameOf(r)
	q := &question{
		Title: v.T("Addresses of %s", v.calledClient(name)), Kind: "sites",
		Text:   []string{v.T("Where users whom it logs in are sent back to, and whose pages are signed for the JS-SDK. Every gateway knows it within five seconds.")},
		Action: clientPath("sites", name), Button: v.T("Save"), Back: Path + "#clients",
	}
	list, err := v.page.gateway.Clients(actor(r)).List(r.Context())
	if err != nil { // a form without what the client has would take it away
		v.Problem, q.Kind, q.Button = v.problem(err), "", v.T("Try again")
		return q
	}
	i := slices.IndexFunc(list, func(c gateway.Client) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	q.Returns, q.Origins = strings.Join(list[i].Returns, "\n"), strings.Join(list[i].Origins, "\n")
	return q
}

func (p *Page) doSites(w http.ResponseWriter, r *http.Request, one *session) {
	v := p.look(r, one)
	name := nameOf(r)
	if !r.PostForm.Has("returns") || !r.PostForm.Has("origins") {
		p.askAgain(w, r, one, askSites, "")
		return
	}
	lines := func(field string) []string { return append([]string{}, strings.Fields(r.PostForm.Get(field))...) }
	if err := p.gateway.Clients(actor(r)).SetSites(r.Context(), name, lines("returns"), lines("origins")); err != nil {
		p.askAgain(w, r, one, askSites, v.problem(err))
		return
	}
	p.gateway.Look(r.Context())
	p.changed()
	p.sessions.tell(one, notice{Level: "ok", Text: "The addresses of %s were changed.", Args: []any{name}})
	http.Redirect(w, r, Path, http.StatusSeeOther)
}

func askTitle(v *view, r *http.Request) *question {
	name := nameOf(r)
	q := &question{
		Title: v.T("Rename %s", name), Kind: "title",
		Text:   []string{v.T("People read the title, here, in commands and in metrics. Its key and everything else stay as they are.")},
		Action: clientPath("title", name), Button: v.T("Save"), Back: Path + "#clients",
	}
	list, err := v.page.gateway.Clients(actor(r)).List(r.Context())
	if err != nil { // a form without what the client has would take it away
		v.Problem, q.Kind, q.Button = v.problem(err), "", v.T("Try again")
		return q
	}
	i := slices.IndexFunc(list, func(c gateway.Client) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	q.Now = list[i].Title
	return q
}

func (p *Page) doTitle(w http.ResponseWriter, r *http.Request, one *session) {
	v := p.look(r, one)
	name := nameOf(r)
	if !r.PostForm.Has("title") {
		p.askAgain(w, r, one, askTitle, "")
		return
	}
	title := strings.TrimSpace(r.PostForm.Get("title"))
	if err := p.gateway.Clients(actor(r)).SetTitle(r.Context(), name, title); err != nil {
		p.askAgain(w, r, one, askTitle, v.problem(err))
		return
	}
	p.gateway.Look(r.Context())
	p.changed()
	p.sessions.tell(one, notice{Level: "ok", Text: "%s was renamed.", Args: []any{name}})
	http.Redirect(w, r, Path, http.StatusSeeOther)
}

func askRevoke(v *view, r *http.Request) *question {
	name := nameOf(r)
	return &question{
		Title: v.T("Revoke %s?", v.calledClient(name)), Danger: true,
		Text: []string{
			v.T("Its key and its gateway tokens stop working on every gateway within five seconds, permanently. A real token that it was given works until it expires."),
		},
		Action: clientPath("revoke", name), Button: v.T("Revoke it"), Back: Path + "#clients",
	}
}

func (p *Page) doRevoke(w http.ResponseWriter, r *http.Request, one *session) {
	v := p.look(r, one)
	name := nameOf(r)
	if err := p.gateway.Clients(actor(r)).Revoke(r.Context(), name); err != nil {
		p.askAgain(w, r, one, askRevoke, v.problem(err))
		return
	}
	p.gateway.Look(r.Context())
	p.changed()
	p.sessions.tell(one, notice{Level: "ok", Text: "Client %s was revoked.", Args: []any{name}})
	http.Redirect(w, r, Path, http.StatusSeeOther)
}

// query is one parameter, escaped.
func query(name, value string) string { return url.Values{name: {value}}.Encode() }
