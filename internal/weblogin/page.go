package weblogin

import (
	"html/template"
	"net/http"
	"strings"
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
		ToDoZH: "请网站管理员设置 WECHAT_ORIGIN（Config.Origin），例如 https://shop.example。",
		ToDoEN: "Its operator has to set WECHAT_ORIGIN (Config.Origin), such as https://shop.example.",
	}
	PageTooLong = &Page{
		Reason: "too_long", Status: http.StatusRequestURITooLong, Final: true,
		ZH: "这个页面的地址太长，无法登录。", EN: "The address of this page is too long for a login.",
		ToDoZH: "请从本站的首页进入。", ToDoEN: "Begin at this site's front page.",
	}
)

// PageOf returns the page of an [Outcome].
func PageOf(reason string) *Page {
	if reason == PageSnapshot.Reason {
		return PageSnapshot
	}
	return PageUnavailable
}

var pageTemplate = template.Must(template.New("login").Parse(`<!DOCTYPE html>
<html lang="zh-CN"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>登录 · Log in</title>
<h1>{{.ZH}}</h1><p>{{.ToDoZH}}</p><p lang="en">{{.EN}} {{.ToDoEN}}</p>
{{if .Again}}<p><a href="{{.Again}}" rel="noreferrer">重新登录 Log in again</a></p>{{end}}
`))

// Show answers with the page. again is where another try begins, "" for nowhere.
func (p *Page) Show(w http.ResponseWriter, again string) {
	if p.Final {
		again = ""
	}
	var b strings.Builder
	if err := pageTemplate.Execute(&b, struct {
		*Page

		Again string
	}{p, again}); err != nil {
		panic(err) // a mistake in the template
	}
	Private(w)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
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
