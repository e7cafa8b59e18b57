//go:build unix

package examples_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// get returns status, header and body of an answer.
func (a *app) get(target string) (int, http.Header, string) {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		a.t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

// TestBasicSimulated tries every line that the example prints when nothing is
// configured, and both signals.
func TestBasicSimulated(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			a := basic.start(t)
			first := a.lines()[0]
			_, page, _ := strings.Cut(first, "http://")
			page, _, _ = strings.Cut("http://"+page, " ")
			if code, _, body := a.get(page); code != http.StatusOK || !strings.HasSuffix(page, "/simulator/page/") || !strings.Contains(body, a.url+"/") {
				t.Errorf("the chat page %s: %d, want one that pushes to %s", page, code, a.url)
			}
			if !strings.Contains(first, "WECHAT_APPID is not set") || !strings.Contains(first, "simulated") ||
				!strings.Contains(first, a.temp) {
				t.Errorf("the first line is %q", first)
			}
			tried := 0
			for _, line := range a.lines() {
				_, target, ok := strings.Cut(strings.TrimSpace(line), "curl ")
				if !ok {
					continue
				}
				tried++
				target = strings.Trim(target, "'")
				code, header, body := a.get(target)
				if code != http.StatusOK {
					t.Errorf("%s: %d %s", target, code, body)
				}
				switch path := strings.TrimPrefix(target, a.url); {
				case strings.HasPrefix(path, "/?"):
					if body != "4375120948345356249" || header.Get("Content-Type") != "text/plain; charset=utf-8" {
						t.Errorf("the verification is answered %q, %v", body, header)
					}
				case path == "/ip":
					var answer struct {
						IPs []string `json:"ip_list"`
					}
					if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.IPs) == 0 {
						t.Errorf("/ip: %s", body)
					}
				}
			}
			if tried != 4 {
				t.Errorf("%d lines to try, want 4: %s", tried, a.lines())
			}
			if code, _, body := a.get(a.url + "/"); code != http.StatusOK || !strings.Contains(body, "examples/basic") {
				t.Errorf("/: %d %s", code, body)
			}
			if s := a.status(); !s.Live || s.SecondsLeft < 7000 || s.SecondsLeft > 7200 || s.Fence == 0 || s.Origin != "fetched" ||
				!strings.HasPrefix(s.AppID, "wx") ||
				s.LastFailure != nil {
				t.Errorf("/status: %+v", s)
			}
			a.end(signal)
			if log := a.printed(); strings.Count(log, "signature=") != 1 || !strings.Contains(log, `"/ip"`) { // the line to try
				t.Errorf("the log shows a signature, or too little:\n%s", log)
			}
		})
	}
}

type statusAnswer struct {
	AppID       string  `json:"appid"`
	Live        bool    `json:"live"`
	SecondsLeft int     `json:"seconds_left"`
	Fence       int64   `json:"fence"`
	Origin      string  `json:"origin"`
	LastFailure *string `json:"last_failure"`
}

// status returns /status, which never holds the token.
func (a *app) status() statusAnswer {
	a.t.Helper()
	_, _, body := a.get(a.url + "/status")
	var s statusAnswer
	if err := json.Unmarshal([]byte(body), &s); err != nil || strings.Contains(body, "91_") {
		a.t.Errorf("/status: %s, %v", body, err)
	}
	return s
}

// TestBasicErrors: WeChat's errors are 502, having no token is 503, both as JSON in
// plain words.
func TestBasicErrors(t *testing.T) {
	t.Parallel()
	wx := newSimulator(t)
	a := basic.start(t, configured(wx)...)
	if code, _, body := a.get(a.url + "/ip"); code != http.StatusOK {
		t.Fatalf("/ip: %d %s", code, body)
	}
	for want, fault := range map[string]simulator.Fault{
		"errcode 45009": {Path: simulator.APICalls, Errcode: 45009},
		"not JSON":      {Path: simulator.APICalls, Body: "<html></html>"},
		"no answer to":  {Path: simulator.APICalls, Cut: simulator.CutBody},
	} {
		rule := wx.Inject(fault)
		code, header, body := a.get(a.url + "/ip")
		rule.Remove()
		var answer struct {
			Error string `json:"error"`
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusBadGateway || !strings.Contains(answer.Error, want) ||
			header.Get("Retry-After") != "" {
			t.Errorf("/ip: %d %v %s, want 502 and %q", code, header, body, want)
		}
	}
	a.end(syscall.SIGTERM)

	wx.SetSecret(appid, "fedcba9876543210fedcba9876543210")
	a = basic.start(t, append(configured(wx), "WECHAT_APPSECRET="+secret)...)
	code, header, body := a.get(a.url + "/ip")
	seconds, _ := strconv.Atoi(header.Get("Retry-After"))
	if code != http.StatusServiceUnavailable || seconds < 590 || seconds > 600 || !strings.Contains(body, "40125") ||
		strings.Contains(body, secret) {
		t.Errorf("/ip with a wrong secret: %d %v %s, want 503 with Retry-After", code, header, body)
	}
	if s := a.status(); s.Live || s.LastFailure == nil || !strings.Contains(*s.LastFailure, "40125") {
		t.Errorf("/status with a wrong secret: %+v", s)
	}
	if code, _, body := a.get(a.url + "/healthz"); code != http.StatusOK || body != "ok" {
		t.Errorf("/healthz: %d %s", code, body)
	}
	a.end(syscall.SIGTERM)
}

// TestBasicEndsWhileWeChatHangs: a caller that waits for WeChat does not keep the
// program.
func TestBasicEndsWhileWeChatHangs(t *testing.T) {
	t.Parallel()
	wx := newSimulator(t)
	rule := wx.Delay(simulator.Everything, time.Hour)
	patience.InTime(t, "the end of the program", 5*time.Second, func() time.Duration {
		hits := rule.Hits()
		a := basic.start(t, configured(wx)...)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/ip", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request); err == nil {
				_ = resp.Body.Close()
			}
		}()
		patience.Until(t, "the call to WeChat", func() bool { return rule.Hits() > hits })
		took := a.end(syscall.SIGTERM)
		<-ended
		return took
	})
}

// TestBasicPage: a browser at the app's address is told what that is, and WeChat is not.
func TestBasicPage(t *testing.T) {
	t.Parallel()
	a := basic.start(t)
	status, header, body := a.get(a.url + "/")
	if status != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), "text/html") || !strings.Contains(body, "examples/basic") ||
		!strings.Contains(body, `href="/status"`) || !strings.Contains(body, `/simulator/page/"`) || !strings.Contains(body, "simulated") {
		t.Errorf("%d %v: %s", status, header, body)
	}
	for _, with := range []struct{ cookies, want string }{
		{"zhongkong_lang=zh-CN; zhongkong_theme=dark", "微信服务端是在同一进程里模拟的"},
		{"zhongkong_lang=en", "simulated in the same process"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+"/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", with.cookies)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.Contains(string(page), with.want) || strings.Contains(with.cookies, "dark") != strings.Contains(string(page), `data-theme="dark"`) {
			t.Errorf("%s: no %q in %s (%v)", with.cookies, with.want, page, err)
		}
	}
	if status, _, body := a.get(a.url + "/?signature=x&timestamp=1&nonce=2&echostr=3"); status == http.StatusOK || strings.Contains(body, "<html") {
		t.Errorf("a forgery gets %d: %s", status, body)
	}
}

// TestBasicDoesNotStart, and says why and what to do.
func TestBasicDoesNotStart(t *testing.T) {
	t.Parallel()
	port := takenPort(t)
	basic.mustNotStart(t, []string{"PORT=" + port}, "port "+port, "PORT=3101 go run ./examples/basic")
	basic.mustNotStart(t, []string{"PORT=0", "WECHAT_APPID=" + appid}, "WECHAT_APPSECRET")
	basic.mustNotStart(t, []string{"PORT=abc"}, `PORT is "abc": it has to be the number of a port alone, such as 3100`)
	basic.mustNotStart(t, []string{"PORT=0", "WECHAT_APPID=" + secret, "WECHAT_APPSECRET=" + appid}, "look swapped")
	// What the middleware finds is an error of one line too, and no panic.
	basic.mustNotStart(t, []string{"PORT=0", "WECHAT_APPID=" + appid, "WECHAT_APPSECRET=" + secret, "ZHONGKONG_STORE=sqlite:" + t.TempDir()},
		"wechat.Middleware: ", "is a folder")
}
