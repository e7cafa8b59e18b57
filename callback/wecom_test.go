package callback_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
)

const (
	corpToken = "QDG6eK"
	corpKey   = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
	corpID    = "wx5823bf96d3bd56c7"
)

func corpVerifier(t *testing.T, receivers ...string) *callback.Verifier {
	t.Helper()
	v, err := callback.NewVerifier(callback.Config{
		AppID: corpID, WeCom: true, Receivers: receivers, Token: custody.NewSecret(corpToken), AESKey: custody.NewSecret(corpKey),
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// sealedFor returns what WeCom sends to an app whose receive id is that.
func sealedFor(t *testing.T, receiver, plain string) (callback.Query, callback.Envelope) {
	t.Helper()
	e, err := corpVerifier(t, receiver).Seal(callback.Pair{}, "1409659589", "263014780", []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return callback.Query{MsgSignature: e.MsgSignature, Timestamp: e.TimeStamp, Nonce: e.Nonce}, e
}

// TestWeComEchoVector: Tencent's own sample of a verification.
func TestWeComEchoVector(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Encrypted []struct {
			ID           string `json:"id"`
			ReceiveID    string `json:"receive_id"`
			Timestamp    string `json:"timestamp"`
			Nonce        string `json:"nonce"`
			MsgSignature string `json:"msg_signature"`
			Encrypt      string `json:"encrypt"`
			Plaintext    string `json:"plaintext"`
		} `json:"encrypted"`
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors.Encrypted {
		if v.ID != "D1-wecom-echostr" {
			continue
		}
		raw := url.Values{
			"msg_signature": {v.MsgSignature}, "timestamp": {v.Timestamp}, "nonce": {v.Nonce}, "echostr": {v.Encrypt},
		}.Encode()
		for _, raw := range []string{raw, strings.ReplaceAll(raw, "%2B", "+")} {
			q, err := callback.ParseQuery(raw)
			if err != nil {
				t.Fatal(err)
			}
			if echo, err := corpVerifier(t).VerifyURL(q); err != nil || echo != v.Plaintext {
				t.Errorf("%s: VerifyURL = %q, %v; want %q", raw, echo, err, v.Plaintext)
			}
			for name, other := range map[string]callback.Query{
				"another nonce":   {MsgSignature: q.MsgSignature, Timestamp: q.Timestamp, Nonce: "1", EchoStr: q.EchoStr},
				"another echostr": {MsgSignature: q.MsgSignature, Timestamp: q.Timestamp, Nonce: q.Nonce, EchoStr: "A" + q.EchoStr[1:]},
				"no echostr":      {MsgSignature: q.MsgSignature, Timestamp: q.Timestamp, Nonce: q.Nonce},
				"plain signature": {Signature: callback.Signature(corpToken, q.Timestamp, q.Nonce), Timestamp: q.Timestamp, Nonce: q.Nonce, EchoStr: "123"},
			} {
				if echo, err := corpVerifier(t).VerifyURL(other); err == nil || echo != "" {
					t.Errorf("%s: VerifyURL = %q", name, echo)
				}
			}
		}
		return
	}
	t.Fatal("the vector is not there")
}

// TestWeComEchoIsNoPush: one signature covers an echostr and a push alike, so a push that
// somebody has seen must not be opened by an address verification.
func TestWeComEchoIsNoPush(t *testing.T) {
	t.Parallel()
	v := corpVerifier(t)
	for text, good := range map[string]bool{
		"1616140317555161061": true, "a-zA-Z0-9_": true, `{"a":1}`: false,
		"<xml><MsgType>text</MsgType></xml>": false, "\n" + `{"msgtype":"text"}`: false, "\ufeff<xml/>": false,
		strings.Repeat("1", 64): true, strings.Repeat("1", 65): false,
	} {
		q, e := sealedFor(t, corpID, text)
		q.EchoStr = e.Encrypt
		echo, err := v.VerifyURL(q)
		if good && (err != nil || echo != text) || !good && (err == nil || echo != "") {
			t.Errorf("%.20q: %q, %v", text, echo, err)
		}
	}
}

// TestWeComReceivers: what is for another corp, for a suite, or for nobody is refused,
// unless the set of receive ids has it; for verifications as for messages. The answer is for
// whom the message was.
func TestWeComReceivers(t *testing.T) {
	t.Parallel()
	const suite = "ww4asffe99e54c0f4c"
	const message = `<xml><ToUserName><![CDATA[wx5823bf96d3bd56c7]]></ToUserName><MsgType><![CDATA[text]]></MsgType></xml>`
	for _, c := range []struct {
		accepted []string // nil: the corpid
		receiver string
		good     bool
	}{
		{nil, corpID, true},
		{nil, "ww00000000f0e16000", false},
		{nil, suite, false},
		{nil, "", false},
		{nil, corpID + "x", false},
		{[]string{corpID, suite}, corpID, true},
		{[]string{corpID, suite}, suite, true},
		{[]string{corpID, suite}, "", false},
		{[]string{corpID, suite}, "ww00000000f0e16000", false},
		{[]string{""}, "", true},
		{[]string{""}, corpID, false},
	} {
		t.Run(fmt.Sprintf("%q for %q", c.accepted, c.receiver), func(t *testing.T) {
			t.Parallel()
			v := corpVerifier(t, c.accepted...)
			q, e := sealedFor(t, c.receiver, message)
			opened, pair, err := v.Open(q, e.XML())
			check(t, c.good, err)
			if c.good {
				if string(opened) != message {
					t.Errorf("opened %q", opened)
				}
				answer, err := v.Seal(pair, "1", "2", []byte("<xml></xml>"))
				if err != nil {
					t.Fatal(err)
				}
				q := callback.Query{MsgSignature: answer.MsgSignature, Timestamp: "1", Nonce: "2"}
				if _, _, err := corpVerifier(t, c.receiver).Open(q, answer.XML()); err != nil {
					t.Errorf("the answer is for somebody else: %v", err)
				}
			}
			q, e = sealedFor(t, c.receiver, "1616140317555161061")
			q.EchoStr = e.Encrypt
			echo, err := v.VerifyURL(q)
			check(t, c.good, err)
			if c.good && echo != "1616140317555161061" {
				t.Errorf("the echo is %q", echo)
			}
		})
	}
}

func check(t *testing.T, good bool, err error) {
	t.Helper()
	refusal, refused := errors.AsType[*callback.Error](err)
	if good && err != nil || !good && (!refused || refusal.Reason != callback.ReasonAppID) {
		t.Errorf("the error is %v", err)
	}
}

// TestWeComBot: a bot's (智能机器人) envelopes are JSON in lower case, and for nobody.
func TestWeComBot(t *testing.T) {
	t.Parallel()
	bot := corpVerifier(t, "")
	q, e := sealedFor(t, "", `{"msgtype":"text","text":{"content":"你好"}}`)
	var body map[string]any
	if err := json.Unmarshal(e.JSON(), &body); err != nil || len(body) != 4 || body["encrypt"] != e.Encrypt ||
		body["msgsignature"] != e.MsgSignature || body["timestamp"] != 1409659589.0 || body["nonce"] != e.Nonce {
		t.Errorf("the envelope is %s", e.JSON())
	}
	if _, _, err := bot.Open(q, []byte(`{"encrypt":"`+e.Encrypt+`"}`)); err != nil {
		t.Error(err)
	}
	if _, _, err := bot.Open(q, []byte(`{"encrypt":"`+e.Encrypt+`","encrypt":"x"}`)); err == nil {
		t.Error("two of encrypt are taken")
	}
	official, err := callback.NewVerifier(callback.Config{AppID: corpID, Token: custody.NewSecret(corpToken), AESKey: custody.NewSecret(corpKey)})
	if err != nil {
		t.Fatal(err)
	}
	q, e = sealedFor(t, corpID, `{}`)
	if _, _, err := official.Open(q, []byte(`{"encrypt":"`+e.Encrypt+`"}`)); err == nil {
		t.Error("an official account takes the envelope of a bot")
	}
}

// TestWeComBotMessage: what a bot gets finds its places, and a handler its message.
func TestWeComBotMessage(t *testing.T) {
	t.Parallel()
	m, err := callback.ParseMessage([]byte(`{"msgid":"CAIQ16","aibotid":"bot1","chattype":"group","from":{"userid":"zhangsan"},"msgtype":"text","text":{"content":"@bot 你好"}}`))
	if err != nil || m.Type != callback.TypeText || m.FromUserName != "zhangsan" || m.ToUserName != "bot1" || m.Content != "@bot 你好" ||
		m.Fields.Get("chattype") != "group" || !m.JSON {
		t.Errorf("ParseMessage = %+v, %v", m, err)
	}
	event, err := callback.ParseMessage([]byte(`{"msgtype":"event","from":{"userid":"a"},"event":{"eventtype":"enter_chat"}}`))
	if err != nil || event.Type != callback.TypeEvent || event.Event != "enter_chat" {
		t.Errorf("ParseMessage = %+v, %v", event, err)
	}
}

// TestWeComConfig: WeCom sends nothing in plain text.
func TestWeComConfig(t *testing.T) {
	t.Parallel()
	if _, err := callback.NewVerifier(callback.Config{AppID: corpID, WeCom: true, Token: custody.NewSecret(corpToken)}); err == nil {
		t.Error("NewVerifier takes WeCom without an AESKey")
	}
}

// TestWeComMessage: the fields that WeCom has beside those of official accounts.
func TestWeComMessage(t *testing.T) {
	t.Parallel()
	m, err := callback.ParseMessage([]byte(`<xml><ToUserName><![CDATA[ww1]]></ToUserName><FromUserName><![CDATA[zhangsan]]></FromUserName>` +
		`<CreateTime>1348831860</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[enter_agent]]></Event>` +
		`<EventKey><![CDATA[]]></EventKey><AgentID>1000002</AgentID></xml>`))
	if err != nil || m.AgentID != "1000002" || m.Event != "enter_agent" || m.FromUserName != "zhangsan" {
		t.Errorf("ParseMessage = %+v, %v", m, err)
	}
}
