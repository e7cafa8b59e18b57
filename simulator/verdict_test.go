package simulator_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

const (
	failureLine = "该公众号提供的服务出现故障，请稍后再试"
	openID      = "oAbCd0123456789EfGhIjKlMnOpQ"
	ghID        = "gh_0123456789ab"
)

// answering is an app that answers always the same.
func answering(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// replyXML is a good reply around its payload.
func replyXML(msgType, payload string) string {
	return "<xml><ToUserName><![CDATA[" + openID + "]]></ToUserName><FromUserName><![CDATA[" + ghID + "]]></FromUserName>" +
		"<CreateTime>1668869542</CreateTime><MsgType><![CDATA[" + msgType + "]]></MsgType>" + payload + "</xml>"
}

var hello = replyXML("text", "<Content><![CDATA[你好]]></Content>")

// sealed is an encrypted answer, made by package callback.
func sealed(t *testing.T, change func(*callback.Envelope), appid, message string) string {
	t.Helper()
	verifier, err := callback.NewVerifier(callback.Config{AppID: appid, Token: text("AAAAA"), AESKey: text(pushing().AESKey)})
	if err != nil {
		t.Fatal(err)
	}
	e, err := verifier.Seal(callback.Pair{}, "1713424427", "415670741", []byte(message))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&e)
	}
	return "<xml>\n<Encrypt><![CDATA[" + e.Encrypt + "]]></Encrypt>\n<MsgSignature><![CDATA[" + e.MsgSignature +
		"]]></MsgSignature>\n<TimeStamp>" +
		e.TimeStamp + "</TimeStamp>\n<Nonce><![CDATA[" + e.Nonce + "]]></Nonce>\n</xml>"
}

// TestVerdicts judges answers that came in time.
func TestVerdicts(t *testing.T) {
	const plain, safe, compatible = simulator.Plain, simulator.Safe, simulator.Compatible
	article := "<item><Title>题</Title><Description>d</Description><PicUrl>p</PicUrl><Url>u</Url></item>"
	for _, row := range []struct {
		name   string
		mode   simulator.Mode
		answer string
		want   simulator.Verdict
		reason string // what Reason has in it
		sees   string
		note   string
	}{
		{"success", plain, "success", simulator.Silent, "answered success", "", ""},
		{"success, safe", safe, "success", simulator.Silent, "answered success", "", ""},
		{"empty", safe, "", simulator.Silent, "empty body", "", ""},
		{"quoted success", plain, `"success"`, simulator.Failed, "with nothing around it", failureLine, ""},
		{"success with a newline", plain, "success\n", simulator.Failed, "with nothing around it", failureLine, ""},
		{"Success", plain, "Success", simulator.Failed, "lower case", failureLine, ""},
		{"words", plain, "ok", simulator.Failed, `it begins "ok"`, failureLine, ""},
		{"HTML", plain, "<!DOCTYPE html><html></html>", simulator.Failed, "an error page may have come", failureLine, ""},
		{"JSON", plain, `{"errcode":0}`, simulator.Failed, "the answer is JSON", failureLine, ""},
		{"broken XML", plain, "<xml><ToUserName>", simulator.Failed, "XML is broken", failureLine, ""},
		{"two documents", plain, hello + hello, simulator.Failed, "continues after </xml>", failureLine, ""},
		{"deep XML", plain, "<xml>" + strings.Repeat("<a>", 20), simulator.Failed, "nested too deep", failureLine, ""},

		{"text", plain, hello, simulator.Replied, "replied with text", "你好", ""},
		{"text with a BOM", plain, "\uFEFF" + hello, simulator.Replied, "text", "你好", "BOM"},
		{"text split", plain, replyXML("text", "<Content><![CDATA[a]]]]><![CDATA[>b]]></Content>"), simulator.Replied, "text", "a]]>b", "split over two CDATA"},
		{"long text", plain, replyXML("text", "<Content>"+strings.Repeat("长", 700)+"</Content>"), simulator.Replied, "text", strings.Repeat("长", 700), "2100 bytes"},
		{"no text", plain, replyXML("text", ""), simulator.Failed, "has no Content", failureLine, ""},
		{"image", plain, replyXML("image", "<Image><MediaId>m1</MediaId></Image>"), simulator.Replied, "image", "[image] m1", ""},
		{"image, bare", plain, replyXML("image", "<MediaId>m1</MediaId>"), simulator.Failed, "has no <Image>", failureLine, ""},
		{"voice", plain, replyXML("voice", "<Voice><MediaId>m1</MediaId></Voice>"), simulator.Replied, "voice", "[voice] m1", ""},
		{"video", plain, replyXML("video", "<Video><MediaId>m1</MediaId><Title>t</Title></Video>"), simulator.Replied, "video", "[video] t", ""},
		{"video without media", plain, replyXML("video", "<Video></Video>"), simulator.Failed, "has no MediaId", failureLine, ""},
		{"music", plain, replyXML("music", "<Music><Title>t</Title><ThumbMediaId>m</ThumbMediaId></Music>"), simulator.Replied, "music", "[music] t", ""},
		{"music without thumb", plain, replyXML("music", "<Music><Title>t</Title></Music>"), simulator.Failed, "has no ThumbMediaId", failureLine, ""},
		{"news", plain, replyXML("news", "<ArticleCount>1</ArticleCount><Articles>"+article+"</Articles>"), simulator.Replied, "news", "[news] 题", ""},
		{"two news", plain, replyXML("news", "<ArticleCount>2</ArticleCount><Articles>"+article+article+"</Articles>"), simulator.Replied, "news", "[news] 题 | 题", "believed to show one"},
		{"miscounted news", plain, replyXML("news", "<ArticleCount>2</ArticleCount><Articles>"+article+"</Articles>"), simulator.Failed, `ArticleCount of the reply is "2"`, failureLine, ""},
		{"nine news", plain, replyXML("news", "<ArticleCount>9</ArticleCount><Articles>"+strings.Repeat(article, 9)+"</Articles>"), simulator.Failed, "1 to 8", failureLine, ""},
		{"news of something else", plain, replyXML("news", "<ArticleCount>1</ArticleCount><Articles><a/></Articles>"), simulator.Failed, "only item can be", failureLine, ""},
		{"customer service", plain, replyXML("transfer_customer_service", "<TransInfo><KfAccount>test1@test</KfAccount></TransInfo>"), simulator.Silent, "customer service", "", ""},
		{"unknown type", plain, replyXML("file", ""), simulator.Failed, `MsgType is "file"`, failureLine, ""},
		{"no type", plain, replyXML("", ""), simulator.Failed, "has no MsgType", failureLine, ""},
		{"no time", plain, strings.Replace(hello, "1668869542", "", 1), simulator.Failed, "no CreateTime", failureLine, ""},
		{"a date for a time", plain, strings.Replace(hello, "1668869542", "2022-11-19", 1), simulator.Replied, "text", "你好", `CreateTime of the reply is "2022-11-19"`},
		{
			"not swapped", plain, strings.NewReplacer(openID, ghID, ghID, openID).Replace(hello),
			simulator.Failed, "swap them", failureLine, "",
		},
		{"to another", plain, strings.Replace(hello, openID, "oX", 1), simulator.Failed, `ToUserName of the reply is "oX"`, failureLine, ""},
		{"from another", plain, strings.Replace(hello, ghID, "gh_X", 1), simulator.Failed, `FromUserName of the reply is "gh_X"`, failureLine, ""},

		{"encrypted", safe, sealed(t, nil, appid, hello), simulator.Replied, "text", "你好", ""},
		{"plain in safe mode", safe, hello, simulator.Failed, "encrypt the reply", failureLine, ""},
		{"encrypted in plain mode", plain, sealed(t, nil, appid, hello), simulator.Failed, "the account is in plain mode", failureLine, ""},
		{"encrypted, compatible", compatible, sealed(t, nil, appid, hello), simulator.Replied, "text", "你好", ""},
		{"plain, compatible", compatible, hello, simulator.Replied, "text", "你好", "compatible mode"},
		{"encrypted success", safe, sealed(t, nil, appid, "success"), simulator.Failed, "an encrypted success", failureLine, ""},
		{"encrypted rubbish", safe, sealed(t, nil, appid, "rubbish"), simulator.Failed, "inside of the encrypted answer", failureLine, ""},
		{"encrypted for another", safe, sealed(t, nil, "wx1", hello), simulator.Failed, `for the appid "wx1"`, failureLine, ""},
		{"wrong signature", safe, sealed(t, func(e *callback.Envelope) { e.Nonce = "1" }, appid, hello), simulator.Failed, "MsgSignature of the answer does not match", failureLine, ""},
		{"no time stamp", safe, sealed(t, func(e *callback.Envelope) { e.TimeStamp = "" }, appid, hello), simulator.Failed, "has no TimeStamp", failureLine, ""},
		{"bad time stamp", safe, sealed(t, func(e *callback.Envelope) { e.TimeStamp = "now" }, appid, hello), simulator.Failed, "TimeStamp of the encrypted answer", failureLine, ""},
		{"not base64", safe, sealed(t, signedEncrypt("?"), appid, hello), simulator.Failed, "not base64", failureLine, ""},
		{"no blocks", safe, sealed(t, signedEncrypt("AAAA"), appid, hello), simulator.Failed, "no whole AES blocks", failureLine, ""},
		{"another key", safe, sealed(t, signedEncrypt(strings.Repeat("AAAA", 16)), appid, hello), simulator.Failed, "padding is wrong", failureLine, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			res, err := pusher(t).Deliver(t.Context(), simulator.Push{
				Handler: answering(200, row.answer), Mode: row.mode,
				Message: simulator.Text("hi"),
			})
			if err != nil {
				t.Fatal(err)
			}
			if res.Verdict != row.want || !strings.Contains(res.Reason, row.reason) || res.Sees != row.sees ||
				res.OK() != (row.want != simulator.Failed) ||
				len(res.Deliveries) != 1 {
				t.Errorf("%s (%d deliveries)\nwant %s: …%s…; seen: %s", res, len(res.Deliveries), row.want, row.reason, row.sees)
			}
			if notes := strings.Join(res.Notes, "\n"); (notes == "") != (row.note == "") || !strings.Contains(notes, row.note) {
				t.Errorf("notes %q, want %q", notes, row.note)
			}
		})
	}
}

func signedEncrypt(encrypt string) func(*callback.Envelope) {
	return func(e *callback.Envelope) {
		e.Encrypt = encrypt
		e.MsgSignature = callback.Signature("AAAAA", e.TimeStamp, e.Nonce, encrypt)
	}
}

// TestVerdictsOfOthers: what depends on the account and on the message.
func TestVerdictsOfOthers(t *testing.T) {
	jsonReply := `{"ToUserName":"` + openID + `","FromUserName":"` + ghID + `","CreateTime":1668869542,"MsgType":`
	mini, official := simulator.MiniProgram, simulator.OfficialAccount
	for _, row := range []struct {
		name    string
		kind    simulator.Kind
		format  simulator.Format
		message simulator.Message
		answer  string
		want    simulator.Verdict
		reason  string
		sees    string
		note    string
	}{
		{"a mini program's text", mini, "", simulator.Text("hi"), hello, simulator.Failed, "/cgi-bin/message/custom/send", failureLine, ""},
		{"a mini program's transfer", mini, "", simulator.Text("hi"), replyXML("transfer_customer_service", ""), simulator.Silent, "customer service", "", ""},
		{"transfer in JSON", mini, simulator.JSON, simulator.Text("hi"), jsonReply + `"transfer_customer_service"}`, simulator.Silent, "customer service", "", ""},
		{"text in JSON", official, simulator.JSON, simulator.Text("hi"), jsonReply + `"text","Content":"你好"}`, simulator.Replied, "text", "你好", ""},
		{"news in JSON", official, simulator.JSON, simulator.Text("hi"), jsonReply + `"news","ArticleCount":1,"Articles":[{"Title":"题"}]}`, simulator.Replied, "news", "[news] 题", ""},
		{"some JSON", mini, simulator.JSON, simulator.Notice("debug_demo"), `{"demo_resp":"good luck","n":null}`, simulator.Silent, "without a MsgType", "", ""},
		{"broken JSON", mini, simulator.JSON, simulator.Text("hi"), `{"a":`, simulator.Failed, "JSON is broken", failureLine, ""},
		{"two JSONs", mini, simulator.JSON, simulator.Text("hi"), `{}{}`, simulator.Failed, "continues after its JSON", failureLine, ""},
		{"XML to JSON", official, simulator.JSON, simulator.Text("hi"), hello, simulator.Replied, "text", "你好", "XML to a message in JSON"},
		{"reply to unsubscribe", official, "", simulator.Unsubscribe(), hello, simulator.Silent, "has left", "", ""},
		{"rubbish to unsubscribe", official, "", simulator.Unsubscribe(), "x", simulator.Failed, "neither success", "", ""},
		{
			"two news to an event", official, "", simulator.Click("K"),
			replyXML("news", "<ArticleCount>2</ArticleCount><Articles><item><Title>a</Title></item><item><Title>b</Title></item></Articles>"), simulator.Replied, "news", "[news] a | b", "",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := pushing()
			a.Kind, a.Format, a.Mode = row.kind, row.format, simulator.Plain
			wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{a}})
			res, err := wx.Deliver(t.Context(), simulator.Push{Handler: answering(200, row.answer), Message: row.message})
			if err != nil || res.Verdict != row.want || !strings.Contains(res.Reason, row.reason) || res.Sees != row.sees ||
				!strings.Contains(strings.Join(res.Notes, "\n"), row.note) {
				t.Errorf("%v %s %q\nwant %s: …%s…; seen: %s", err, res, res.Notes, row.want, row.reason, row.sees)
			}
		})
	}
}

// seen is what of a delivery stays the same or changes.
type seen struct {
	at      time.Duration
	query   string
	message string
}

// TestThreeDeliveries: 5 s for an answer, three requests, 5 s apart.
func TestThreeDeliveries(t *testing.T) {
	slow := func(w http.ResponseWriter, _ *http.Request) { // looks at no context
		time.Sleep(7 * time.Second)
		_, _ = io.WriteString(w, "success")
	}
	refusing := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }
	redirecting := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }
	panicking := func(http.ResponseWriter, *http.Request) { panic("a bug") }
	for _, row := range []struct {
		name   string
		app    http.HandlerFunc
		good   int // the delivery that is answered well; 0 for none
		same   bool
		reason string
	}{
		{"slow", slow, 0, false, "no answer in time"},
		{"slow, the same each time", slow, 0, true, "no answer in time"},
		{"refusing", refusing, 0, false, "it answered 403 Forbidden"},
		{"redirecting", redirecting, 0, false, "302 Found to /login, and WeChat does not follow redirects"},
		{"panicking", panicking, 0, false, "the app panicked: a bug"},
		{"slow once", slow, 2, false, "answered success to delivery 2"},
		{"refusing twice", refusing, 3, false, "answered success to delivery 3"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{pushing()}})
				begun := time.Now()
				var mu sync.Mutex // a slow app still serves when the next delivery comes
				var all []seen
				app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					plain := open(t, r, body)
					mu.Lock()
					all = append(all, seen{time.Since(begun), r.URL.RawQuery, string(plain)})
					n := len(all)
					mu.Unlock()
					if n == row.good {
						_, _ = io.WriteString(w, "success")
						return
					}
					row.app(w, r)
				})
				res, err := wx.Deliver(t.Context(), simulator.Push{Handler: app, Message: simulator.Text("hi"), SameNonce: row.same})
				if err != nil {
					t.Fatal(err)
				}
				mu.Lock()
				defer mu.Unlock()
				want := 3
				if row.good > 0 {
					want = row.good
				}
				if len(all) != want || len(res.Deliveries) != want || wx.Stats(appid).Pushes != want || !strings.Contains(res.Reason, row.reason) ||
					res.OK() != (row.good > 0) {
					t.Errorf("%d requests, %d deliveries, %s", len(all), len(res.Deliveries), res)
				}
				if row.good == 0 && (res.Sees != failureLine || !strings.HasPrefix(res.Reason, "3 deliveries went wrong (each time ")) {
					t.Errorf("%s", res)
				}
				for i, s := range all {
					if s.at != time.Duration(i)*5*time.Second {
						t.Errorf("delivery %d came after %s", i+1, s.at)
					}
					if s.message != all[0].message {
						t.Errorf("delivery %d has another message", i+1)
					}
					if i > 0 && (s.query == all[0].query) != row.same {
						t.Errorf("delivery %d: query %s after %s", i+1, s.query, all[0].query)
					}
				}
				if row.good > 1 && !strings.Contains(strings.Join(res.Notes, ""), "handled the message once") {
					t.Error(res.Notes)
				}
				time.Sleep(10 * time.Second) // lets slow apps end
			})
		})
	}
}

// open reads a safe-mode push with package callback.
func open(t *testing.T, r *http.Request, body []byte) []byte {
	t.Helper()
	verifier, err := callback.NewVerifier(callback.Config{AppID: appid, Token: text("AAAAA"), AESKey: text(pushing().AESKey)})
	if err != nil {
		t.Fatal(err)
	}
	q, err := callback.ParseQuery(r.URL.RawQuery)
	if err != nil {
		t.Fatal(err)
	}
	plain, _, err := verifier.Open(q, body)
	if err != nil {
		t.Error(err)
	}
	return plain
}

// TestOverTheNetwork: what can go wrong with a real connection.
func TestOverTheNetwork(t *testing.T) {
	t.Parallel()
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{pushing()}, Patience: 2 * time.Second})
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	stop := make(chan struct{})
	apps := map[string]*httptest.Server{
		"no answer in time":                    httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop })),
		"nothing listens at 127.0.0.1":         closed,
		"the connection ended before":          httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })),
		"WeChat does not follow redirects":     httptest.NewServer(http.RedirectHandler("http://evil.invalid/", http.StatusMovedPermanently)),
		"it answered 500 Internal Server Erro": httptest.NewServer(answering(500, "success")),
	}
	var all sync.WaitGroup
	for want, app := range apps {
		all.Go(func() {
			res, err := wx.Push(t.Context(), app.URL, simulator.Text("hi"))
			if err != nil || res.Verdict != simulator.Failed || !strings.Contains(res.Reason, want) || len(res.Deliveries) != 3 {
				t.Errorf("%v %s\nwant %q", err, res, want)
			}
		})
	}
	all.Wait()
	close(stop)
	for _, app := range apps {
		app.Close()
	}
}

// TestEachDelivery that went wrong in its own way is told.
func TestEachDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{pushing()}})
		turn := 0
		turns := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500 + turn)
			turn++
		})
		res, err := wx.Deliver(t.Context(), simulator.Push{Handler: turns, Message: simulator.Text("hi")})
		if err != nil || !strings.Contains(res.Reason, "(delivery 1: it answered 500 Internal Server Error; delivery 2: it answered 501 Not Implemented; delivery 3: ") {
			t.Error(err, res)
		}
	})
}

// TestGivenUp: the caller's context ends a push, with the error that says so.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{pushing()}})
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		res, err := wx.Deliver(ctx, simulator.Push{Handler: answering(500, ""), Message: simulator.Text("hi")})
		if !errors.Is(err, context.DeadlineExceeded) || res.OK() || len(res.Deliveries) != 2 {
			t.Error(err, res)
		}
		begun := time.Now()
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		hanging := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		if _, err = wx.Deliver(ctx, simulator.Push{Handler: hanging, Message: simulator.Text("hi")}); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(begun) != time.Second {
			t.Error(err, time.Since(begun))
		}
		if _, err = wx.Verify(ctx, simulator.Push{Handler: hanging}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// verifying is an app on package callback, with as much care as a row wants.
func verifying(t *testing.T, conf callback.Config) http.Handler {
	t.Helper()
	conf.AppID, conf.Token = appid, text("AAAAA")
	verifier, err := callback.NewVerifier(conf)
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := callback.ParseQuery(r.URL.RawQuery)
		answer := "success"
		if err == nil && r.Method == http.MethodGet {
			answer, err = verifier.VerifyURL(q)
		} else if err == nil {
			body, _ := io.ReadAll(r.Body)
			_, _, err = verifier.Open(q, body)
		}
		if err != nil {
			http.Error(w, "wrong", http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, answer)
	})
}

// TestAttacks sends every attack to an app that resists and to one that does not.
func TestAttacks(t *testing.T) {
	careful := verifying(t, callback.Config{AESKey: text(pushing().AESKey), Freshness: 5 * time.Minute})
	careless := answering(200, "success")
	wx := pusher(t)
	for _, attack := range simulator.Attacks() {
		p := simulator.Push{Handler: careful, Attack: attack, Message: simulator.Text("hi")}
		res, err := wx.Deliver(t.Context(), p)
		want, n := simulator.Refused, 1
		if attack == simulator.Replay {
			want, n = simulator.Silent, 2
			if len(res.Deliveries) == 2 &&
				(res.Deliveries[0].URL != res.Deliveries[1].URL || res.Deliveries[0].Request != res.Deliveries[1].Request) {
				t.Error("replay: not the same bytes")
			}
		}
		if err != nil || res.Verdict != want || !res.OK() || len(res.Deliveries) != n {
			t.Errorf("%s: %v %s", attack, err, res)
		}
		if attack == simulator.Replay {
			continue
		}
		p.Handler = careless
		if res, err = wx.Deliver(t.Context(), p); err != nil || res.Verdict != simulator.Accepted || res.OK() ||
			!strings.Contains(res.Reason, "Answer 403") {
			t.Errorf("%s, careless: %v %s", attack, err, res)
		}
	}
}

// TestAttacksAreWhatTheySay: the steps of package callback that each one fails.
func TestAttacksAreWhatTheySay(t *testing.T) {
	wx := pusher(t)
	for attack, want := range map[simulator.Attack]callback.Reason{
		simulator.WrongSignature: callback.ReasonMsgSignature,
		simulator.Stale:          callback.ReasonStale,
		simulator.Tampered:       callback.ReasonMsgSignature,
		simulator.ForeignAppID:   callback.ReasonAppID,
		simulator.PlainText:      callback.ReasonPlainText,
	} {
		verifier, err := callback.NewVerifier(
			callback.Config{AppID: appid, Token: text("AAAAA"), AESKey: text(pushing().AESKey), Freshness: 5 * time.Minute},
		)
		if err != nil {
			t.Fatal(err)
		}
		r, err := wx.NewRequest(t.Context(), simulator.Push{URL: "http://a/", Attack: attack, Message: simulator.Text("hi")})
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		q, err := callback.ParseQuery(r.URL.RawQuery)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = verifier.Open(q, body)
		var refused *callback.Error
		if !errors.As(err, &refused) || refused.Reason != want {
			t.Errorf("%s: %v, want %s", attack, err, want)
		}
		right := callback.CheckSignature("AAAAA", q.Timestamp, q.Nonce, q.Signature)
		if right != (attack != simulator.WrongSignature) {
			t.Errorf("%s: signature is right: %t", attack, right)
		}
		if attack == simulator.Tampered { // it opens, so that nothing but msg_signature can tell
			q.MsgSignature = callback.Signature("AAAAA", q.Timestamp, q.Nonce, between(t, string(body)))
			if message, _, err := verifier.Open(q, body); err != nil || len(message) == 0 {
				t.Errorf("the tampered message does not open: %v", err)
			}
		}
	}
}

func TestReplayVerdicts(t *testing.T) {
	wx := pusher(t)
	once := 0
	forgetful := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if once++; once%2 == 0 {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	for app, want := range map[string]struct {
		http.Handler
		reason string
	}{
		"refuses the second": {forgetful, "does not take the same push twice"},
		"refuses both":       {answering(500, ""), "already the genuine push went wrong"},
	} {
		res, err := wx.Deliver(t.Context(), simulator.Push{Handler: want.Handler, Attack: simulator.Replay, Message: simulator.Text("hi")})
		if err != nil || res.Verdict != simulator.Failed || !strings.Contains(res.Reason, want.reason) {
			t.Errorf("%s: %v %s", app, err, res)
		}
	}
}

func TestVerify(t *testing.T) {
	wx := pusher(t)
	echo := func(change func(string) string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, change(r.URL.Query().Get("echostr")))
		})
	}
	for _, row := range []struct {
		name    string
		app     http.Handler
		attack  simulator.Attack
		verdict simulator.Verdict
		reason  string
		sees    string
	}{
		{"right", verifying(t, callback.Config{}), "", simulator.Verified, "echoed", ""},
		{"right in safe mode", verifying(t, callback.Config{AESKey: text(pushing().AESKey)}), "", simulator.Verified, "echoed", ""},
		{"quoted", echo(strconv.Quote), "", simulator.Failed, "quotes, white space", "token验证失败"},
		{"newline", echo(func(s string) string { return s + "\n" }), "", simulator.Failed, "quotes, white space", "token验证失败"},
		{"BOM", echo(func(s string) string { return "\uFEFF" + s }), "", simulator.Failed, "a BOM around", "token验证失败"},
		{"HTML", echo(func(s string) string { return "<html>" + s }), "", simulator.Failed, "more in it", "token验证失败"},
		{"empty", echo(func(string) string { return "" }), "", simulator.Failed, "empty", "token验证失败"},
		{"something else", echo(func(string) string { return "success" }), "", simulator.Failed, "is not the echostr", "token验证失败"},
		{"refused", answering(403, "wrong"), "", simulator.Failed, "403 Forbidden: the Token differs", "token验证失败"},
		{"a stranger's, refused", verifying(t, callback.Config{}), simulator.WrongSignature, simulator.Refused, "did not echo", ""},
		{"a stranger's, echoed", echo(func(s string) string { return s }), simulator.WrongSignature, simulator.Accepted, "echoes whatever comes", ""},
	} {
		res, err := wx.Verify(t.Context(), simulator.Push{Handler: row.app, Attack: row.attack})
		if err != nil || res.Verdict != row.verdict || !strings.Contains(res.Reason, row.reason) || res.Sees != row.sees ||
			len(res.Deliveries) != 1 {
			t.Errorf("%s: %v %s", row.name, err, res)
		}
	}
	if _, err := wx.Verify(t.Context(), simulator.Push{Handler: answering(200, ""), Attack: simulator.Stale}); err == nil {
		t.Error("an attack that no verification knows")
	}
	e := wx.Events()[0]
	if !e.Push || e.Method != http.MethodGet || e.AppID != appid || !strings.Contains(e.Query, "&echostr=") {
		t.Errorf("%+v", e)
	}
	synctest.Test(t, func(t *testing.T) {
		wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{pushing()}})
		hanging := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		res, err := wx.Verify(t.Context(), simulator.Push{Handler: hanging})
		if err != nil || res.Sees != "请求URL超时" || res.Deliveries[0].Took != 5*time.Second {
			t.Error(err, res)
		}
	})
}

// TestPushesAreRecorded, with their answers.
func TestPushesAreRecorded(t *testing.T) {
	var observed []simulator.Event
	wx := simtest.InMemory(
		t,
		simulator.Options{Accounts: []simulator.Account{pushing()}, Observe: func(e simulator.Event) { observed = append(observed, e) }},
	)
	if _, err := wx.Deliver(t.Context(), simulator.Push{
		Handler: answering(200, hello), Mode: simulator.Plain,
		Message: simulator.Text("hi"), URL: "http://app.example/wechat",
	}); err != nil {
		t.Fatal(err)
	}
	all := wx.Events()
	if len(all) != 1 || len(observed) != 1 || observed[0] != all[0] {
		t.Fatalf("%+v, observed %+v", all, observed)
	}
	if e := all[0]; !e.Push || e.Caller != "app.example" || e.Path != "/wechat" || e.Status != 200 || e.Response != hello || !strings.Contains(e.Request, "<![CDATA[hi]]>") || e.Lost {
		t.Errorf("%+v", e)
	}
}

func ExampleSimulator_Push() {
	wx, err := simulator.New(simulator.Options{Seed: 1}) // in a test: simtest.New(t, simulator.Options{})
	if err != nil {
		panic(err)
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "success\n") // a mistake: the newline
	}))
	defer app.Close()

	res, err := wx.Push(context.Background(), app.URL, simulator.Text("你好"))
	if err != nil {
		panic(err)
	}
	fmt.Println(res.Verdict)
	fmt.Println(res.Reason)
	fmt.Println(res.Sees)
	// Output:
	// failed
	// the answer is "success\n": it has to be success, lower case, with nothing around it
	// 该公众号提供的服务出现故障，请稍后再试
}
