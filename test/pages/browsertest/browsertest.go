// Package browsertest drives pages in a real Chromium, headless and without any
// other host: what a page asks for beyond loopback, and what it complains of in its
// console, fails the test.
package browsertest

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

// patience is how long something on a page may take; machines are slow at times.
const patience = 30 * time.Second

var shared struct {
	sync.Mutex
	ctx     context.Context // of the browser
	end     func()
	leftOut bool
}

// browser returns the one Chromium of this process's tests.
func browser(tb testing.TB) context.Context {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.ctx != nil {
		return shared.ctx
	}
	path, err := testserver.FindChromium()
	if errors.Is(err, testserver.ErrNotInstalled) {
		shared.leftOut = true
		tb.Skip("left out: " + testserver.ChromiumLeftOut())
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("font-render-hinting", "none"),
	)
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	// A newer Chromium sends messages that chromedp does not know yet; they are no error.
	ctx, end := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}))
	if err := chromedp.Do(ctx); err != nil {
		end()
		endAllocator()
		tb.Fatalf("Chromium at %s does not start: %v", path, err)
	}
	shared.ctx = ctx
	shared.end = func() {
		_ = chromedp.Cancel(ctx) // waits for the browser
		end()
		endAllocator()
	}
	return ctx
}

// Main runs the tests of a package and ends the browser that they share.
func Main(m *testing.M, leaks func() error) {
	code := m.Run()
	if shared.leftOut {
		fmt.Fprintln(os.Stderr, "left out:", testserver.ChromiumLeftOut())
	}
	if shared.end != nil {
		shared.end()
	}
	if code == 0 {
		if err := leaks(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Look is how somebody looks at a page.
type Look struct {
	Width, Height int64 // 0: 1280 by 800
	Dark          bool
	Lang          string // Accept-Language; "" is en
	Still         bool   // no animations
}

// Tab is a tab of the browser that belongs to one test.
type Tab struct {
	tb  testing.TB
	ctx context.Context

	mu       sync.Mutex
	problems []string
	requests int
	expected []string
}

// Open opens a page in a tab of its own. The test fails at its end if the page
// requested anything from another host or wrote an error to its console.
func Open(tb testing.TB, address string, look Look) *Tab {
	tb.Helper()
	t := &Tab{tb: tb}
	var end context.CancelFunc
	t.ctx, end = chromedp.NewContext(browser(tb), chromedp.WithListener(t.watch))
	tb.Cleanup(end)
	if err := chromedp.Do(t.ctx); err != nil { // the tab lives as long as the context of its first action
		tb.Fatalf("no new tab: %v", err)
	}
	if look.Width == 0 {
		look.Width, look.Height = 1280, 800
	}
	if look.Lang == "" {
		look.Lang = "en"
	}
	scheme, motion := "light", "no-preference"
	if look.Dark {
		scheme = "dark"
	}
	if look.Still {
		motion = "reduce"
	}
	t.do(
		command(network.Enable, network.EnableParams{}),
		command(runtime.Enable, cdp.Empty{}),
		command(log.Enable, cdp.Empty{}),
		command(network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": look.Lang}}),
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: look.Width, Height: look.Height, DeviceScaleFactor: 1,
		}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion},
		}}),
		chromedp.Navigate(address),
	)
	tb.Cleanup(t.judge)
	return t
}

// command makes an action of a command of the DevTools protocol.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// Expect declares that a line of the console with this text in it is no problem.
func (t *Tab) Expect(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expected = append(t.expected, text)
}

func (t *Tab) watch(event any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		t.requests++
		u, err := url.Parse(e.Request.URL)
		if err != nil || u.Scheme != "data" && u.Scheme != "about" && !net.ParseIP(u.Hostname()).IsLoopback() {
			t.problems = append(t.problems, "it asked "+e.Request.URL)
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning ||
			e.Type == runtime.ConsoleAPICalledTypeAssert {
			var words []string
			for _, arg := range e.Args {
				words = append(words, string(arg.Value))
			}
			t.problems = append(t.problems, "console: "+strings.Join(words, " "))
		}
	case *runtime.EventExceptionThrown:
		t.problems = append(t.problems, (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			t.problems = append(t.problems, "log: "+e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

func (t *Tab) judge() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.requests == 0 {
		t.tb.Error("no request of the page was seen, so that nothing was checked")
	}
next:
	for _, problem := range t.problems {
		for _, expected := range t.expected {
			if strings.Contains(problem, expected) {
				continue next
			}
		}
		t.tb.Error(problem)
	}
}

// do carries actions out, one after the other.
func (t *Tab) do(actions ...chromedp.Action[chromedp.Void]) {
	t.tb.Helper()
	for i, action := range actions {
		run(t, fmt.Sprintf("action %d of %d", i+1, len(actions)), action)
	}
}

// run carries an action out and returns its value.
func run[T any](t *Tab, name string, action chromedp.Action[T]) T {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		t.tb.Fatalf("%s: %v; the page says:\n%s", name, err, t.text())
	}
	return value
}

func (t *Tab) text() string {
	ctx, cancel := context.WithTimeout(t.ctx, 5*time.Second)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`)) // it only helps to understand
	return text
}

// Go navigates to an address.
func (t *Tab) Go(address string) {
	t.tb.Helper()
	run(t, "go to "+address, chromedp.Navigate(address))
}

// Eval evaluates JavaScript and decodes its value into result, unless that is nil.
func (t *Tab) Eval(script string, result any) {
	t.tb.Helper()
	if result == nil {
		run(t, script, chromedp.Evaluate[chromedp.Void](script))
		return
	}
	if value := run(t, script, chromedp.Evaluate[[]byte](script)); json.Unmarshal(value, result) != nil {
		t.tb.Fatalf("%s: the value is no %T: %s", script, result, value)
	}
}

// Await waits until a JavaScript expression is true. It evaluates the expression again
// and again: chromedp's own Poll makes a function in the page, which the page's
// Content-Security-Policy forbids.
func (t *Tab) Await(expression string) {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	for {
		reached, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if reached {
			return
		}
		if ctx.Err() != nil {
			t.tb.Fatalf("never true: %s (%v); the page says:\n%s", expression, err, t.text())
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// The page may replace an element at any moment, so the methods below find it anew by
// its CSS selector, and act in the same step; chromedp's own actions keep a node's id.

// Visible waits until an element is visible.
func (t *Tab) Visible(selector string) {
	t.tb.Helper()
	t.Await("document.querySelector(" + Quote(selector) + ")?.checkVisibility({ visibilityProperty: true })")
}

// Click clicks with the mouse on an element once it is visible.
func (t *Tab) Click(selector string) {
	t.tb.Helper()
	t.Visible(selector)
	var at struct{ X, Y float64 }
	t.Eval(`(() => {
  const e = document.querySelector(`+Quote(selector)+`);
  e.scrollIntoView({ block: "nearest", behavior: "instant" });
  const box = e.getClientRects()[0];
  return { X: box.x + box.width / 2, Y: box.y + box.height / 2 };
})()`, &at)
	run(t, "click on "+selector, chromedp.MouseClickXY(at.X, at.Y))
}

// Focus gives an element the focus once it is visible.
func (t *Tab) Focus(selector string) {
	t.tb.Helper()
	t.Await(`(() => {
  const e = document.querySelector(` + Quote(selector) + `);
  e?.focus();
  return e && document.activeElement === e;
})()`)
}

// Type types text into a field.
func (t *Tab) Type(selector, text string) {
	t.tb.Helper()
	t.Focus(selector)
	run(t, "type into "+selector, chromedp.KeyEvent(text))
}

// Press presses a key of package kb.
func (t *Tab) Press(key string) {
	t.tb.Helper()
	run(t, fmt.Sprintf("press %q", key), chromedp.KeyEvent(key))
}

// SetCookie sets a cookie that only the pages below address get, and no script.
func (t *Tab) SetCookie(address string, cookie *http.Cookie) {
	t.tb.Helper()
	at, err := url.Parse(address)
	if err != nil {
		t.tb.Fatal(err)
	}
	run(t, "set the cookie "+cookie.Name, command(network.SetCookie, network.SetCookieParams{
		Name: cookie.Name, Value: cookie.Value, URL: address, Path: at.Path,
		HTTPOnly: new(true), SameSite: network.CookieSameSiteStrict,
	}))
}

var screenshots = flag.String("screenshots", "", "the folder that TestLooks writes its pictures to")

// Picture checks that the size of a picture of the window in bytes, as PNG, is between
// least and most, so that it shows something. With -screenshots it writes the picture,
// unless that has no name.
func (t *Tab) Picture(name string, least, most int) {
	t.tb.Helper()
	png := run(t, "take a picture", chromedp.CaptureScreenshot())
	if len(png) < least || len(png) > most {
		t.tb.Errorf("the picture has %d bytes, want %d to %d", len(png), least, most)
	}
	if *screenshots == "" || name == "" {
		return
	}
	if err := os.MkdirAll(*screenshots, 0o755); err != nil {
		t.tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o644); err != nil {
		t.tb.Fatal(err)
	}
}

// Joined is a JavaScript expression: the page's event stream is connected.
const Joined = `document.getElementById("link").dataset.state === "joined"`

// Has returns a JavaScript expression: an element of the selector contains the text.
func Has(selector, text string) string {
	return "[...document.querySelectorAll(" + Quote(selector) + ")].some((e) => e.textContent.includes(" + Quote(text) + "))"
}

// Quote returns a JavaScript string literal.
func Quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", `\n`).Replace(s) + "'"
}
