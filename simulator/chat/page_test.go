package chat_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/zhongkong-go/zhongkong/internal/test/chattest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/chat"
)

// TestWithoutScript: forms work in a browser that runs no script; what cannot be is
// said on the page, and changes nothing.
func TestWithoutScript(t *testing.T) {
	d := chattest.Start(t, simulator.Options{})
	send := func(what, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, chat.Path+what+"?as="+d.Account.Followers[1], strings.NewReader(body))
		r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		d.Page.Handler().ServeHTTP(w, r)
		return w
	}
	w := send("say", "type=text&value=%E4%BD%A0%E5%A5%BD")
	if next := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.Contains(next, "as="+d.Account.Followers[1]) {
		t.Errorf("%d, on to %q", w.Code, next)
	}
	d.Until("the reply", func() bool {
		_, html := d.Get("?as=" + d.Account.Followers[1])
		return strings.Contains(html, `<p class="text">你说的是：你好`)
	})
	if _, html := d.Get(""); strings.Contains(html, `<p class="text">你说的是：你好`) {
		t.Error("another follower sees it too")
	}
	if w := send("whitelist", "list=nonsense"); w.Code != 422 || !strings.Contains(w.Body.String(), "is neither an IP nor a CIDR") ||
		len(d.WeChat.Accounts()[0].Whitelist) != 0 {
		t.Errorf("a wrong whitelist: %d", w.Code)
	}
}

// TestActs does what the forms do, right and wrong.
func TestActs(t *testing.T) {
	d := chattest.Start(t, simulator.Options{})
	appid := d.Account.AppID
	for _, row := range []struct {
		what    string
		form    []string
		status  int
		problem string
		is      func() bool
	}{
		{"whitelist", []string{"list", "192.0.2.1, 198.51.100.0/24"}, 204, "", func() bool { return len(d.WeChat.Accounts()[0].Whitelist) == 2 }},
		{"whitelist", []string{"list", ""}, 204, "", func() bool { return len(d.WeChat.Accounts()[0].Whitelist) == 0 }},
		{"state", []string{"state", "50007"}, 204, "", func() bool { return d.WeChat.Accounts()[0].State == simulator.Frozen }},
		{"state", []string{"state", "1"}, 422, "which does not exist", func() bool { return d.WeChat.Accounts()[0].State == simulator.Frozen }},
		{"state", []string{"state", "0"}, 204, "", nil},
		{"token", []string{"pool", "classic", "do", "kill"}, 422, "there is no live token to end", nil},
		{"token", []string{"pool", "classic", "do", "supersede"}, 204, "", func() bool { return d.WeChat.Stats(appid).Classic.Outside == 1 }},
		{"token", []string{"pool", "stable", "do", "supersede"}, 204, "", func() bool { return d.WeChat.Stats(appid).Stable.Outside == 1 }},
		{"token", []string{"pool", "classic", "do", "kill"}, 204, "", func() bool { return !d.WeChat.Accepts(d.WeChat.Latest(appid, simulator.Classic)) }},
		{"token", []string{"pool", "x", "do", "kill"}, 422, `there is no pool "x"`, nil},
		{"clock", []string{"advance", "-1h"}, 422, "the clock goes forward", nil},
		{"clock", []string{"advance", "25h"}, 422, "the clock goes forward", nil},
		{"fault", []string{"key", "ip", "on", "1"}, 204, "", func() bool { return len(d.WeChat.Faults()) == 1 }},
		{"fault", []string{"key", "ip", "on", "1"}, 204, "", func() bool { return len(d.WeChat.Faults()) == 1 }},
		{"fault", []string{"key", "ip", "on", "0"}, 204, "", func() bool { return len(d.WeChat.Faults()) == 0 }},
		{"say", []string{"type", "text", "value", "  "}, 422, "write something first", nil},
		{"say", []string{"type", "nonsense", "value", "x"}, 422, `there is no message "nonsense"`, nil},
		{"menu", []string{"button", "0"}, 422, "the menu has changed", nil},
		{"follower", []string{"nickname", " "}, 422, "give the follower a name", nil},
		{"follower", []string{"nickname", strings.Repeat("长", 25)}, 422, "25 characters: 24 can be", nil},
		{"nothing", nil, 422, "nothing of this name", nil},
		{"app", []string{"url", "ftp://x"}, 422, "has to begin with http://", func() bool { return d.WeChat.Accounts()[0].CallbackURL == d.Account.CallbackURL }},
		{"app", []string{"url", ""}, 204, "", func() bool { return d.WeChat.Accounts()[0].CallbackURL == "" }},
		{"say", []string{"type", "text", "value", "x"}, 422, "the address to push to", func() bool { return len(d.WeChat.Events()) == 0 }},
	} {
		status, problem := d.Act(row.what, row.form...)
		if status != row.status || !strings.Contains(problem, row.problem) || strings.HasPrefix(problem, "simulator: ") {
			t.Errorf("%s %v: %d %q, want %d %q", row.what, row.form, status, problem, row.status, row.problem)
		}
		if row.is != nil && !row.is() {
			t.Errorf("%s %v did not do it, or did more", row.what, row.form)
		}
	}
}

// TestFlying: an app that hangs does not let the page pile up pushes, and Close
// waits for those under way.
func TestFlying(t *testing.T) {
	hung := make(chan struct{})
	account := simulator.MakeUpAccount(7)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hung }))
	defer server.Close()
	defer close(hung)
	account.CallbackURL = server.URL
	d := chattest.Over(t, simulator.Options{Accounts: []simulator.Account{account}, Patience: time.Minute})
	refused := 0
	for range 20 {
		if status, _ := d.Act("say", "type", "text", "value", "x"); status == 422 {
			refused++
		}
	}
	if refused != 4 {
		t.Errorf("%d of 20 were refused, want 4", refused)
	}
	d.Page.Close()
	d.Page.Close()
	if _, problem := d.Act("say", "type", "text", "value", "x"); !strings.Contains(problem, "about to end") {
		t.Errorf("after Close: %q", problem)
	}
}

// TestChinese: with Chinese in the browser no text of the page is left in English.
func TestChinese(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("chat.html")
	if err != nil {
		t.Fatal(err)
	}
	words, err := os.ReadFile("words.go")
	if err != nil {
		t.Fatal(err)
	}
	view, err := os.ReadFile("view.go")
	if err != nil {
		t.Fatal(err)
	}
	acts, err := os.ReadFile("act.go")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`\.T "([^"]+)"|\.T\("([^"]+)"|errors\.New\("([^"]+)"\)|\{"[a-z]+", "([^"]+)", simulator\.Fault`)
	all := said.FindAllStringSubmatch(string(source)+string(view)+string(acts), -1)
	if len(all) < 100 {
		t.Fatalf("only %d texts were found", len(all))
	}
	for _, found := range all {
		text := strings.Join(found[1:], "")
		if !strings.Contains(string(words), `"`+text+`":`) {
			t.Errorf("there is no Chinese for %q", text)
		}
	}
	d := chattest.Start(t, simulator.Options{Patience: 2 * time.Second})
	_, html := d.Get("", "Accept-Language", "zh-CN,zh;q=0.9")
	d.Failing.Store(true)
	d.Act("say", "type", "text", "value", "x")
	d.Until("the verdict", func() bool {
		_, html := d.Get("", "Accept-Language", "zh-CN")
		return strings.Contains(html, "3 次推送全部失败（每次返回 500 Internal Server Error）。应用出错：原因见应用的日志")
	})
	if !strings.Contains(html, `<html lang="zh-CN">`) || !strings.Contains(html, "故障开关") {
		t.Error("the page is not in Chinese")
	}
	for _, text := range regexp.MustCompile(`>([^<>]+)<`).FindAllStringSubmatch(html, -1) {
		if strings.Count(strings.TrimSpace(text[1]), " ") > 3 &&
			strings.IndexFunc(text[1], func(r rune) bool { return unicode.Is(unicode.Han, r) }) < 0 {
			t.Errorf("still in English: %q", strings.TrimSpace(text[1]))
		}
	}
}

// TestSwitches: the links for language and theme work without the script, and lead back to the
// page where a form went wrong.
func TestSwitches(t *testing.T) {
	d := chattest.Start(t, simulator.Options{})
	_, html := d.Get("", "Accept-Language", "en", "Cookie", "zhongkong_lang=zh-CN; zhongkong_theme=dark")
	for _, want := range []string{`<html lang="zh-CN" data-theme="dark">`, `<meta name="color-scheme" content="dark">`, "故障开关", "lang=en", "theme=light"} {
		if !strings.Contains(html, want) {
			t.Errorf("no %s in the page", want)
		}
	}
	if _, html = d.Get("", "Accept-Language", "en"); !strings.Contains(html, `<html lang="en">`) || !strings.Contains(html, `content="light dark"`) ||
		!strings.Contains(html, `href="`+chat.Path+"?") {
		t.Error("what nobody has chosen is not the browser's")
	}
}

// TestBounded: what the page keeps and shows is bounded, whatever comes.
func TestBounded(t *testing.T) {
	d := chattest.Start(t, simulator.Options{})
	for range 400 {
		d.WeChat.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/cgi-bin/x", http.NoBody))
	}
	for i := range 100 {
		m := simulator.Text("x").By("oStranger" + strings.Repeat("x", i))
		if _, err := d.WeChat.Push(t.Context(), "", m); err != nil {
			t.Fatal(err)
		}
	}
	_, html := d.Get("")
	if n := strings.Count(html, `<li id="entry-`); n != 200 {
		t.Errorf("%d requests in the log, want 200", n)
	}
	if n := strings.Count(html, `class="face tone`); n != 64 {
		t.Errorf("%d followers, want 64", n)
	}
}
