//go:build unix

package examples_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// TestBotLinesToTry runs every line that the example prints when nothing is configured, as
// a shell does, with a command that is built once and not in each line.
func TestBotLinesToTry(t *testing.T) {
	t.Parallel()
	a := bot.start(t)
	if first, _, _ := strings.Cut(a.printed(), "\n"); !strings.Contains(first, "WECHAT_APPID is not set") || !strings.Contains(first, a.temp) {
		t.Errorf("the first line is %q", first)
	}
	var environment string
	answers := map[string]string{ // what a line prints
		"verify": "verified", "ping": "pong", "你好": "你好", "慢": "慢, 但是到了", "很慢": "请稍候",
		"click": "replied", "subscribe": "欢迎", "image": "image", "healthz": "ok",
	}
	command := zhongkong.path(t)
	var all sync.WaitGroup
	for line := range strings.SplitSeq(a.printed(), "\n") {
		line, ok := strings.CutPrefix(line, "  ")
		switch {
		case !ok:
			continue
		case strings.HasPrefix(line, "export "):
			environment = line + "; "
			continue
		}
		for word := range strings.FieldsSeq(strings.ReplaceAll(line, "/", " ")) {
			want, ok := answers[word]
			if !ok {
				continue
			}
			delete(answers, word)
			all.Go(func() {
				cmd := exec.CommandContext(t.Context(), "sh", "-c", environment+strings.Replace(line, "go run ./cmd/zhongkong ", command+" ", 1))
				cmd.Dir = ".."
				if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
					t.Errorf("%s: %v, %s", line, err, out)
				}
			})
		}
	}
	all.Wait()
	if len(answers) > 0 {
		t.Errorf("no line to try has %v: %s", answers, a.printed())
	}
	patience.Wait(func() bool { return strings.Contains(a.printed(), "The follower gets later") })
	if out := a.printed(); !strings.Contains(out, "很慢, 但是到了") || strings.Count(out, "The follower gets later") != 1 {
		t.Errorf("what comes late: %s", out)
	}
	a.end(syscall.SIGTERM)
	if strings.Contains(a.printed(), "signature=") {
		t.Errorf("the log shows a signature: %s", a.printed())
	}
}

// custom counts the messages that reached followers late.
func custom(wx *simtest.Sim) (n int) {
	for _, e := range wx.Events() {
		if e.Path == "/cgi-bin/message/custom/send" && e.Errcode == 0 {
			n++
		}
	}
	return n
}

// TestBotConfigured: with an account in the environment it creates the menu, answers
// every kind of message, and takes up after a restart what it could not answer
// before its end.
func TestBotConfigured(t *testing.T) {
	t.Parallel()
	wx := newSimulator(t)
	store := "ZHONGKONG_STORE=sqlite:" + filepath.Join(t.TempDir(), "zhongkong.db")
	a := bot.start(t, append(configured(wx), store)...)
	for _, test := range []struct {
		message simulator.Message
		sees    string
	}{
		{simulator.Text("ping"), "pong"},
		{simulator.Text("<你好>"), "<你好>"},
		{simulator.Image("http://pictures.invalid/1.jpg", "the-media-id"), "the-media-id"},
		{simulator.Subscribe(), "欢迎"},
		{simulator.Click("HELP"), "很慢"},
		{simulator.Unsubscribe(), ""},
		{simulator.Text("慢"), "慢, 但是到了"},
		{simulator.Text("很慢"), "请稍候"},
	} {
		if result, err := wx.Push(t.Context(), a.url, test.message); err != nil || !result.OK() || !strings.Contains(result.Sees, test.sees) {
			t.Errorf("%v: %v, %v", test.message, result, err)
		}
	}
	a.end(syscall.SIGTERM) // though a handler works for longer
	menus := 0
	for _, e := range wx.Events() {
		if e.Path == "/cgi-bin/menu/create" && e.Errcode == 0 {
			menus++
		}
	}
	late := custom(wx) // the handler may just have been done

	a = bot.start(t, append(configured(wx), store)...)
	patience.Wait(func() bool { return custom(wx) > 0 })
	if n := custom(wx); n != 1 || menus != 1 {
		t.Errorf("%d late answers (%d before the restart), %d menus; want one each", n, late, menus)
	}
	a.end(syscall.SIGTERM)
}

// TestBotDoesNotStart, and says why and what to do.
func TestBotDoesNotStart(t *testing.T) {
	t.Parallel()
	bot.mustNotStart(t, []string{"PORT=" + takenPort(t)}, "PORT=3101 go run ./examples/bot")
	bot.mustNotStart(t, []string{"PORT=0", "WECHAT_APPID=" + appid}, "WECHAT_APPSECRET")
}
