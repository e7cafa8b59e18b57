package chat_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/chattest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/chat"
)

// TestCorp: one writes to an app of WeCom as a member, and sees its replies and what it sends
// by message/send; the official account next to it is as before.
func TestCorp(t *testing.T) {
	d := chattest.StartCorp(t, simulator.Options{})
	as := func(userid string) string {
		return "?" + url.Values{"account": {d.Corp.AppID}, "as": {userid}}.Encode()
	}
	has := func(userid, text string) func() bool {
		return func() bool { _, html := d.Get(as(userid)); return strings.Contains(html, text) }
	}
	if status, problem := d.Act("say"+as("lisi"), "type", "text", "value", "报销进度"); status != 204 {
		t.Fatal(status, problem)
	}
	d.Until("the reply", has("lisi", `<p class="text">你说的是：报销进度`))
	if status, problem := d.Act("say"+as("lisi"), "type", "enter_agent", "value", ""); status != 204 {
		t.Fatal(status, problem)
	}
	d.Until("the welcome", has("lisi", `<p class="text">欢迎进入，lisi`))
	_, html := d.Get(as("lisi"))
	for _, want := range []string{"Opened the app", "✓</span> msg_signature", `id="value-corpid">ww0123456789abcdef<`, `id="value-agentid">1000002<`, "WECOM_CORPID=ww0123456789abcdef", "gettoken", "Write as this member", "60020"} {
		if !strings.Contains(html, want) {
			t.Errorf("no %q on the page", want)
		}
	}
	for _, none := range []string{"✗</span>", "stable_token", "40164", `id="save-state"`, `value="SCAN"`, d.Corp.Secret, d.Corp.Token} {
		if strings.Contains(html, none) {
			t.Errorf("%q is on the page of an app", none)
		}
	}

	for body, seen := range map[string]string{
		`{"touser":"lisi|nobody","msgtype":"text","agentid":1000002,"text":{"content":"只给李四"}}`:                                                                         "只给李四",
		`{"touser":"@all","msgtype":"textcard","agentid":1000002,"textcard":{"title":"周报","description":"<b>请查看</b>","url":"http://example.com/week"}}`:                 "&lt;b&gt;请查看&lt;/b&gt;",
		`{"touser":"lisi","msgtype":"markdown","agentid":1000002,"markdown":{"content":"**会议** 15:00"}}`:                                                                "**会议** 15:00",
		`{"toparty":"1","msgtype":"news","agentid":1000002,"news":{"articles":[{"title":"年会","description":"报名","url":"http://example.com/party"}]}}`:                   "年会",
		`{"touser":"lisi","msgtype":"template_card","agentid":1000002,"template_card":{"card_type":"text_notice","main_title":{"title":"审批","desc":"待办"}}}`:             "待办",
		`{"touser":"lisi","msgtype":"miniprogram_notice","agentid":1000002,"miniprogram_notice":{"title":"会议室","content_item":[{"key":"地点","value":"402"}]}}`:           "402",
		`{"touser":"lisi","msgtype":"file","agentid":1000002,"file":{"media_id":"made-up-media"}}`:                                                                      "made-up-media",
		`{"touser":"lisi","msgtype":"mpnews","agentid":1000002,"mpnews":{"articles":[{"title":"制度","digest":"摘要在此","content_source_url":"http://example.com/rules"}]}}`: "摘要在此",
	} {
		if answer := d.CallCorp("/cgi-bin/message/send", body); answer["errcode"] != "0" {
			t.Errorf("%s: %v", body, answer)
		}
		if !has("lisi", seen)() {
			t.Errorf("%s is not in the chat", body)
		}
	}
	if has("zhangsan", `class="text">只给李四`)() || !has("zhangsan", `class="title">周报`)() || !has("zhangsan", `class="title">年会`)() {
		t.Error("another member sees what is not for him, or not what is for all")
	}
	if _, html := d.Get("?as=" + d.Account.Followers[0]); strings.Contains(html, `class="text">欢迎进入`) || !strings.Contains(html, "stable_token") {
		t.Error("the official account shows the app's chat, or not its own tokens")
	}

	if status, problem := d.Act("fault"+as("lisi"), "key", "refuse", "on", "1"); status != 204 {
		t.Fatal(status, problem)
	}
	if answer := d.CallCorp("/cgi-bin/message/send", `{"touser":"lisi","msgtype":"text","agentid":1000002,"text":{"content":"verloren"}}`); answer["errcode"] != "40014" || has("lisi", `<p class="text">verloren`)() {
		t.Errorf("with the fault: %v", answer)
	}
	d.Post("/cgi-bin/gettoken?corpid=ww0123456789abcdef&corpsecret=mistyped-real-secret", "")
	if has("lisi", "mistyped-real-secret")() {
		t.Error("a Secret that was mistyped is on the page")
	}
}

// TestCorpVariables: what an app of WeCom reads from the environment.
func TestCorpVariables(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	for _, v := range chat.Variables(simulator.Account{AppID: "ww0123456789abcdef:1000002", Kind: simulator.WeCom, Secret: "made-up"}, "http://127.0.0.1:3200") {
		got[v.Name] = v.Value
	}
	if len(got) != 4 || got["WECOM_CORPID"] != "ww0123456789abcdef" || got["WECOM_AGENTID"] != "1000002" || got["WECOM_SECRET"] != "made-up" ||
		got["WECOM_API_BASE"] != "http://127.0.0.1:3200" {
		t.Errorf("%v", got)
	}
}
