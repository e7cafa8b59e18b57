package wechat

import (
	"html/template"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// loginPage is what a user sees whose login ends otherwise: what happened, and what to do.
type loginPage struct {
	reason    string // for the log, and its name
	status    int
	ZH, EN    string
	ToDoZH    string
	ToDoEN    string
	noAnother bool // another try does not help
}

// Again reports whether the page offers another try.
func (p *loginPage) Again() bool { return !p.noAnother }

var (
	pageForged = &loginPage{
		reason: "forged", status: http.StatusForbidden,
		ZH: "这个登录链接不是本站发出的，或者不完整。", EN: "This login was not begun here, or its address is incomplete.",
		ToDoZH: "请重新登录。", ToDoEN: "Log in again.",
	}
	pageOld = &loginPage{
		reason: "old", status: http.StatusForbidden,
		ZH: "登录超过了 5 分钟，已经失效。", EN: "This login was begun more than 5 minutes ago.",
		ToDoZH: "请重新登录。", ToDoEN: "Log in again.",
	}
	pageForeign = &loginPage{
		reason: "other_browser", status: http.StatusForbidden,
		ZH: "登录是在另一个浏览器里开始的，或者浏览器没有保存 Cookie。", EN: "This login was begun in another browser, or this one keeps no cookies.",
		ToDoZH: "请在当前浏览器里允许 Cookie，然后重新登录。", ToDoEN: "Allow cookies and log in again in this browser.",
	}
	pageElsewhere = &loginPage{
		reason: "other_page", status: http.StatusForbidden,
		ZH: "登录是为另一个页面开始的。", EN: "This login was begun for another page.",
		ToDoZH: "请重新登录。", ToDoEN: "Log in again.",
	}
	pageDeclined = &loginPage{
		reason: "declined", status: http.StatusForbidden,
		ZH: "你没有同意登录，所以打不开这个页面。", EN: "You did not consent, so that this page cannot be shown.",
		ToDoZH: "如果改变了主意，请再次登录并点“允许”。", ToDoEN: "If you change your mind, log in again and allow it.",
	}
	pageSnapshot = &loginPage{
		reason: "snapshot", status: http.StatusForbidden,
		ZH: "微信目前以快照方式打开此页，其中的用户是虚拟的，不能登录。", EN: "WeChat shows this page as a snapshot, with a user who does not exist.",
		ToDoZH: "请在微信里打开完整页面（使用完整服务），再登录。", ToDoEN: "Open the full page in WeChat and log in there.",
	}
	pageCode = &loginPage{
		reason: "code", status: http.StatusForbidden,
		ZH: "微信没有接受这次登录。", EN: "WeChat did not take this login.",
		ToDoZH: "请稍候片刻，重新登录。", ToDoEN: "Wait a moment and log in again.",
	}
	pageUnavailable = &loginPage{
		reason: "unavailable", status: http.StatusServiceUnavailable,
		ZH: "现在无法登录，本站的日志里有原因。", EN: "Nobody can log in at the moment; this site's log says why.",
		ToDoZH: "请稍后再试。", ToDoEN: "Try again later.",
	}
	pageOrigin = &loginPage{
		reason: "origin", status: http.StatusInternalServerError, noAnother: true,
		ZH: "本站还没有配置登录用的地址。", EN: "This site's address for logins is not configured.",
		ToDoZH: "请网站管理员设置 WECHAT_ORIGIN（Config.Origin），例如 https://shop.example。",
		ToDoEN: "Its operator has to set WECHAT_ORIGIN (Config.Origin), such as https://shop.example.",
	}
	pageTooLong = &loginPage{
		reason: "too_long", status: http.StatusRequestURITooLong, noAnother: true,
		ZH: "这个页面的地址太长，无法登录。", EN: "The address of this page is too long for a login.",
		ToDoZH: "请从本站的首页进入。", ToDoEN: "Begin at this site's front page.",
	}
)

// pages are those that become of a code, by their reason.
var pages = map[string]*loginPage{
	pageSnapshot.reason: pageSnapshot, pageUnavailable.reason: pageUnavailable, "": pageUnavailable,
}

var pageTemplate = template.Must(template.New("login").Parse(`<!DOCTYPE html>
<html lang="zh-CN"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>登录 · Log in</title>
<h1>{{.Page.ZH}}</h1><p>{{.Page.ToDoZH}}</p><p lang="en">{{.Page.EN}} {{.Page.ToDoEN}}</p>
{{if .Page.Again}}<p><a href="{{.Path}}" rel="noreferrer">重新登录 Log in again</a></p>{{end}}
`))

// page shows p. Its link leads to this request's path without the query, which may hold a
// code.
func (l *login) page(c *gin.Context, p *loginPage) {
	if p == nil {
		p = pageUnavailable
	}
	path := OwnPath(c.Request.URL.EscapedPath(), "/")
	var b strings.Builder
	if err := pageTemplate.Execute(&b, map[string]any{"Page": p, "Path": path}); err != nil {
		panic(err) // a mistake in the template
	}
	l.answer(c, p.status, b.String())
}

func (l *login) answer(c *gin.Context, status int, html string) {
	private(c)
	c.Header("Content-Type", "text/html; charset=utf-8")
	c.Header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
	c.Header("X-Content-Type-Options", "nosniff")
	c.Abort()
	c.Status(status)
	_, _ = c.Writer.WriteString(html) // a browser that is gone misses nothing
}
