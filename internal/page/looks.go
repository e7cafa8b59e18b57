package page

import (
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/lang"
)

// The cookies, which are also the names in a query, with a prefix. Cookies have no port, so
// that what is chosen on one page of zhongkong holds on the others of the same host.
const (
	langName   = "lang"
	themeName  = "theme"
	cookies    = "zhongkong_"
	cookieLife = 365 * 24 * time.Hour
)

// themes are what a page can look like; "system" is what the browser prefers, and needs no
// cookie.
var themes = []string{"light", "dark", "system"}

// Looks are the language and the theme of a page. The exported methods are for templates.
type Looks struct {
	Lang  lang.Lang
	Theme string // light or dark; "" is what the browser prefers

	at url.URL // what the switches lead to
}

// LooksOf returns what the browser has chosen; else the language that it prefers.
func LooksOf(r *http.Request) Looks {
	l := Looks{Lang: lang.Accepted(r), at: *r.URL}
	if c, err := r.Cookie(cookies + langName); err == nil {
		if chosen, ok := chosenLang(c.Value); ok {
			l.Lang = chosen
		}
	}
	if c, err := r.Cookie(cookies + themeName); err == nil && (c.Value == "light" || c.Value == "dark") {
		l.Theme = c.Value
	}
	return l
}

func chosenLang(name string) (lang.Lang, bool) {
	for _, l := range []lang.Lang{lang.English, lang.Chinese} {
		if name == string(l) {
			return l, true
		}
	}
	return "", false
}

// Scheme is the page's color-scheme.
func (l Looks) Scheme() string {
	if l.Theme == "" {
		return "light dark"
	}
	return l.Theme
}

// Leading lets the switches lead to another address than the request's, which may be that of
// a form.
func (l Looks) Leading(address string) Looks {
	if u, err := url.Parse(address); err == nil {
		l.at = *u
	}
	return l
}

// Choice is one of several.
type Choice struct {
	Name, Href string
	On         bool
}

// Other is the switch to the other language.
func (l Looks) Other() Choice {
	if l.Lang == lang.Chinese {
		return Choice{Name: "English", Href: l.with(langName, string(lang.English))}
	}
	return Choice{Name: "中文", Href: l.with(langName, string(lang.Chinese))}
}

// Themes are the switches of the theme.
func (l Looks) Themes() (all []Choice) {
	for _, name := range themes {
		on := name == l.Theme || name == "system" && l.Theme == ""
		all = append(all, Choice{Name: name, Href: l.with(themeName, name), On: on})
	}
	return all
}

// Say says a text of the switches.
func (l Looks) Say(text string) string { return words.Say(l.Lang, text) }

func (l Looks) with(name, value string) string {
	query := l.at.Query()
	query.Set(name, value)
	return (&url.URL{Path: l.at.Path, RawQuery: query.Encode()}).RequestURI()
}

var words = lang.Words{
	"Theme": "主题", "light": "浅色", "dark": "深色", "system": "跟随系统",
}

// Switches is the template "switches", which takes [Looks].
const Switches = `{{define "switches"}}<nav class="looks"><a class="lang" hreflang="{{if eq .Lang "en"}}zh-CN{{else}}en{{end}}" lang="{{if eq .Lang "en"}}zh-CN{{else}}en{{end}}" href="{{.Other.Href}}">{{.Other.Name}}</a>` +
	`<span class="themes" role="group" aria-label="{{.Say "Theme"}}">{{$l := .}}{{range .Themes}}<a href="{{.Href}}" title="{{$l.Say .Name}}" aria-label="{{$l.Say .Name}}"{{if .On}} aria-current="true"{{end}}>` +
	`<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">{{if eq .Name "light"}}<circle cx="8" cy="8" r="3"/><path d="M8 1v2M8 13v2M1 8h2M13 8h2M3 3l1.4 1.4M11.6 11.6 13 13M3 13l1.4-1.4M11.6 4.4 13 3"/>` +
	`{{else if eq .Name "dark"}}<path d="M13.5 9.8A6 6 0 0 1 6.2 2.5a6 6 0 1 0 7.3 7.3Z"/>` +
	`{{else}}<rect x="1.5" y="2.5" width="13" height="8.5" rx="1"/><path d="M5.5 13.5h5M8 11v2.5"/>{{end}}</svg></a>{{end}}</span></nav>{{end}}`

// Parse adds the template "switches" to t.
func Parse(t *template.Template) *template.Template { return template.Must(t.Parse(Switches)) }

// Choosing keeps what a browser chooses with the switches, in cookies, and shows the page
// again without the choice in its address.
func Choosing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		chosen, theme := query.Get(langName), query.Get(themeName)
		if r.Method != http.MethodGet || chosen == "" && theme == "" {
			next.ServeHTTP(w, r)
			return
		}
		if _, ok := chosenLang(chosen); ok {
			keep(w, r, langName, chosen)
		}
		switch theme {
		case "light", "dark":
			keep(w, r, themeName, theme)
		case "system":
			keep(w, r, themeName, "")
		}
		query.Del(langName)
		query.Del(themeName)
		// One slash: two would name another host.
		back := &url.URL{Path: "/" + strings.TrimLeft(r.URL.Path, `/\`), RawQuery: query.Encode()}
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, back.RequestURI(), http.StatusSeeOther)
	})
}

// keep sets a cookie; no value removes it.
func keep(w http.ResponseWriter, r *http.Request, name, value string) {
	c := &http.Cookie{
		Name: cookies + name, Value: value, Path: "/", MaxAge: int(cookieLife.Seconds()),
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode,
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}
