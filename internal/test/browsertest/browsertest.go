// Package browsertest drives pages in a real Chromium, headless and without any
// other host: what a page asks for beyond loopback, and what it complains of in its
// console, fails the test.
package browsertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

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
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("font-render-hinting", "none"),
	)
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	// What a newer Chromium says that chromedp does not know yet is no error.
	ctx, end := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}))
	if err := chromedp.Run(ctx); err != nil {
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
// asked another host for anything or wrote an error to its console.
func Open(tb testing.TB, address string, look Look) *Tab {
	tb.Helper()
	ctx, end := chromedp.NewContext(browser(tb))
	tb.Cleanup(end)
	t := &Tab{tb: tb, ctx: ctx}
	chromedp.ListenTarget(ctx, t.watch)
	if err := chromedp.Run(ctx); err != nil { // the tab lives as long as the context of the first Run
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
	t.Do(
		network.Enable(), runtime.Enable(), log.Enable(),
		network.SetExtraHTTPHeaders(network.Headers{"Accept-Language": look.Lang}),
		emulation.SetDeviceMetricsOverride(look.Width, look.Height, 1, false),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion},
		}),
		chromedp.Navigate(address),
	)
	tb.Cleanup(t.judge)
	return t
}

// Expect says that a line of the console with this text in it is no problem.
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
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning || e.Type == runtime.APITypeAssert {
			var words []string
			for _, arg := range e.Args {
				words = append(words, string(arg.Value))
			}
			t.problems = append(t.problems, "console: "+strings.Join(words, " "))
		}
	case *runtime.EventExceptionThrown:
		t.problems = append(t.problems, "exception: "+e.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
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

// Do carries actions out, one after the other.
func (t *Tab) Do(actions ...chromedp.Action) {
	t.tb.Helper()
	for _, action := range actions {
		ctx, cancel := context.WithTimeout(t.ctx, patience)
		err := chromedp.Run(ctx, action)
		cancel()
		if err != nil {
			t.tb.Fatalf("%T: %v; the page says:\n%s", action, err, t.text())
		}
	}
}

func (t *Tab) text() (text string) {
	ctx, cancel := context.WithTimeout(t.ctx, 5*time.Second)
	defer cancel()
	_ = chromedp.Run(ctx, chromedp.Evaluate(`document.body ? document.body.innerText : ""`, &text)) // it only helps to understand
	return text
}

// Eval evaluates JavaScript into result.
func (t *Tab) Eval(script string, result any) {
	t.tb.Helper()
	t.Do(chromedp.Evaluate(script, result))
}

// Await waits until a JavaScript expression is true. It asks again and again: a
// function in the page, as chromedp's own Poll makes one, is what its
// Content-Security-Policy forbids.
func (t *Tab) Await(expression string) {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	for {
		var reached bool
		err := chromedp.Run(ctx, chromedp.Evaluate("!!("+expression+")", &reached))
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

// Click clicks on what becomes visible.
func (t *Tab) Click(selector string) {
	t.tb.Helper()
	t.Do(chromedp.WaitVisible(selector, chromedp.ByQuery), chromedp.Click(selector, chromedp.ByQuery))
}

// Type writes text into the field.
func (t *Tab) Type(selector, text string) {
	t.tb.Helper()
	t.Do(chromedp.Focus(selector, chromedp.ByQuery), chromedp.SendKeys(selector, text, chromedp.ByQuery))
}

// Press presses a key of package kb.
func (t *Tab) Press(key string) {
	t.tb.Helper()
	t.Do(chromedp.KeyEvent(key))
}

// Screenshot returns what is seen, as PNG.
func (t *Tab) Screenshot() []byte {
	t.tb.Helper()
	var png []byte
	t.Do(chromedp.CaptureScreenshot(&png))
	return png
}
