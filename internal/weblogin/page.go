package weblogin

import (
	"html/template"
	"net/http"
	"strings"

	"github.com/zhongkong-go/zhongkong/internal/lang"
)

// Page is what a user sees whose login fails: what happened, and what to do.
type Page struct {
	Reason string // for the log, and its name
	Status int
	ZH, EN string
	ToDoZH string
	ToDoEN string
	Final  bool // another try does not help
}

// The pages.
var (
	PageForged = &Page{
		Reason: "forged", Status: http.StatusForbidden,
		ZH: "这个登录链接不是本站发出的，或者不完整。", EN: "This login was not begun here, or its address is incomplete.",
		ToDoZH: "请重新登录。", ToDoEN: "Log in again.",
	}
	PageOld = &Page{
		Reason: "old", Status: http.StatusForbidden,
		ZH: "登录超过了 5 分钟，已经失效。", EN: "This login was begun more than 5 minutes ago.",
		ToDoZH: "请重新登录。", ToDoEN: "Log in again.",
	}
	PageForeign = &Page{
		Reason: "other_browser", Status: http.StatusForbidden,
		ZH: "登录是在另一个浏览器里开始的，或者浏览器没有保存 Cookie。", EN: "This login was begun in another browser, or this one keeps no cookies.",
		ToDoZH: "请在当前浏览器里允许 Cookie，然后重新登录。", ToDoEN: "Allow cookies and log in again in this browser.",
	}
	PageElsewhere = &Page{
		Reason: "other_page", Status: http.StatusForbidden,
		ZH: "登录是为另一个页面开始的。", EN: "This login was begun for another page.",
		ToDoZH: "请重新登录。", ToDoEN: "Log in again.",
	}
	PageDeclined = &Page{
		Reason: "declined", Status: http.StatusForbidden,
		ZH: "你没有同意登录，所以打不开这个页面。", EN: "You did not consent, so that this page cannot be shown.",
		ToDoZH: "如果改变了主意，请再次登录并点“允许”。", ToDoEN: "If you change your mind, log in again and allow it.",
	}
	PageStranger = &Page{
		Reason: "stranger", Status: http.StatusForbidden, Final: true,
		ZH: "你不是这个企业的成员，不能打开这个页面。", EN: "You are not a member of this company, so this page is not for you.",
		ToDoZH: "请联系企业的管理员。", ToDoEN: "Ask the company's administrator.",
	}
	PageSnapshot = &Page{
		Reason: "snapshot", Status: http.StatusForbidden,
		ZH: "微信目前以快照方式打开此页，其中的用户是虚拟的，不能登录。", EN: "WeChat shows this page as a snapshot, with a user who does not exist.",
		ToDoZH: "请在微信里打开完整页面（使用完整服务），再登录。", ToDoEN: "Open the full page in WeChat and log in there.",
	}
	PageCode = &Page{
		Reason: "code", Status: http.StatusForbidden,
		ZH: "微信没有接受这次登录。", EN: "WeChat did not take this login.",
		ToDoZH: "请稍候片刻，重新登录。", ToDoEN: "Wait a moment and log in again.",
	}
	PageUnavailable = &Page{
		Reason: "unavailable", Status: http.StatusServiceUnavailable,
		ZH: "现在无法登录，本站的日志里有原因。", EN: "Nobody can log in at the moment; this site's log says why.",
		ToDoZH: "请稍后再试。", ToDoEN: "Try again later.",
	}
	PageOrigin = &Page{
		Reason: "origin", Status: http.StatusInternalServerError, Final: true,
		ZH: "本站还没有配置登录用的地址。", EN: "This site's address for logins is not configured.",
		ToDoZH: "请网站管理员设置 Config.Origin（WECHAT_ORIGIN 或 WECOM_ORIGIN），例如 https://shop.example。",
		ToDoEN: "Its operator has to set Config.Origin (WECHAT_ORIGIN or WECOM_ORIGIN), such as https://shop.example.",
	}
	PageTooLong = &Page{
		Reason: "too_long", Status: http.StatusRequestURITooLong, Final: true,
		ZH: "这个页面的地址太长，无法登录。", EN: "The address of this page is too long for a login.",
		ToDoZH: "请从本站的首页进入。", ToDoEN: "Begin at this site's front page.",
	}
)

// PageOf returns the page of an [Outcome].
func PageOf(reason string) *Page {
	for _, p := range []*Page{PageSnapshot, PageStranger} {
		if p.Reason == reason {
			return p
		}
	}
	return PageUnavailable
}

// The other language is behind a switch that needs neither a script nor another request: this
// address may hold a code.
var pageTemplate = template.Must(template.New("login").Parse(`<!DOCTYPE html>
<html lang="{{.First.Lang}}"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{{.First.Title}}</title>
<h1>{{.First.What}}</h1><p>{{.First.ToDo}}</p>
{{if .Again}}<p><a href="{{.Again}}" rel="noreferrer">{{.First.Link}}</a></p>{{end}}
{{with .Second}}<details lang="{{.Lang}}"><summary>{{.Name}}</summary><p>{{.What}} {{.ToDo}}</p>{{if $.Again}}<p><a href="{{$.Again}}" rel="noreferrer">{{.Link}}</a></p>{{end}}</details>{{end}}
`))

// version is a page in one language.
type version struct {
	Lang                          lang.Lang
	Name, Title, What, ToDo, Link string
}

// in returns the versions of a page, that of the reader first.
func (p *Page) in(l lang.Lang) (first, second version) {
	zh := version{lang.Chinese, "中文", "登录", p.ZH, p.ToDoZH, "重新登录"}
	en := version{lang.English, "English", "Log in", p.EN, p.ToDoEN, "Log in again"}
	if l == lang.Chinese {
		return zh, en
	}
	return en, zh
}

// Show answers r with the page, in the language that its browser asks for, in Chinese where it
// asks for none. again is where another try begins, "" for nowhere.
func (p *Page) Show(w http.ResponseWriter, r *http.Request, again string) {
	if p.Final {
		again = ""
	}
	var b strings.Builder
	reader := lang.Chinese
	if r.Header.Get("Accept-Language") != "" {
		reader = lang.Accepted(r)
	}
	first, second := p.in(reader)
	if err := pageTemplate.Execute(&b, struct {
		First, Second version
		Again         string
	}{first, second, again}); err != nil {
		panic(err) // a mistake in the template
	}
	Private(w)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", string(reader))
	h.Set("Vary", "Accept-Language")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	_, _ = w.Write([]byte(b.String())) // a browser that is gone misses nothing
}

// Private keeps an answer out of caches, and this address, which may hold a code, out of the
// Referer of the next one.
func Private(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
}
