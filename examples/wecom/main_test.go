package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/middleware/wecom"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestExample: the app answers the console, members' messages and their browsers.
func TestExample(t *testing.T) {
	gin.SetMode(gin.TestMode)
	wx := simtest.New(t, simulator.Options{Accounts: accounts()})
	client, err := wecom.New(wecom.Config{
		CorpID: corpID, AgentID: agentID, Secret: wecom.Secret(wx.Secret()), Token: wecom.Secret(wx.Account().Token),
		AESKey: wecom.Secret(wx.Account().AESKey), APIBase: wx.URL, Store: memory.New(), Messages: newBot(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	server := httptest.NewServer(newEngine(client))
	defer server.Close()

	if got, err := wx.Verify(t.Context(), simulator.Push{URL: server.URL + "/wecom"}); err != nil || got.Verdict != simulator.Verified {
		t.Errorf("the console: %v, %v", got, err)
	}
	for want, m := range map[string]simulator.Message{
		"收到：请假":       simulator.Text("请假"),
		"你好，zhangsan": simulator.Notice("enter_agent"),
	} {
		if got, err := wx.Push(t.Context(), server.URL+"/wecom", m); err != nil || got.Sees != want {
			t.Errorf("%v, %v; want %q", got, err, want)
		}
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	for path, want := range map[string]string{"/": "你好，zhangsan！\n", "/remind": "sent\n", "/healthz": "ok"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(body) != want {
			t.Errorf("%s answers %q", path, body)
		}
	}
	sent := false
	for _, e := range wx.Events() {
		sent = sent || e.Path == "/cgi-bin/message/send" && e.Errcode == 0 && strings.Contains(e.Request, "别忘了开会")
	}
	if !sent {
		t.Error("the member got no message")
	}
}
