package simulator_test

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

//go:embed testdata/vectors.json
var vectorsJSON []byte

// vector is a message that Tencent's documents print with all that belongs to it.
type vector struct {
	ID           string `json:"id"`
	Kind         string `json:"kind"`
	Token        string `json:"token"`
	AESKey       string `json:"encoding_aes_key"`
	ReceiveID    string `json:"receive_id"`
	Timestamp    string `json:"timestamp"`
	Nonce        string `json:"nonce"`
	Signature    string `json:"signature"`
	MsgSignature string `json:"msg_signature"`
	Encrypt      string `json:"encrypt"`
	Random       string `json:"random16"`
	Plaintext    string `json:"plaintext"`
	EchoStr      string `json:"echostr"`
}

func vectors(t *testing.T) (encrypted, plain []vector) {
	t.Helper()
	var all struct {
		Encrypted []vector `json:"encrypted"`
		Plain     []vector `json:"plain_signatures"`
	}
	if err := json.Unmarshal(vectorsJSON, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Encrypted) != 5 || len(all.Plain) != 3 {
		t.Fatalf("%d encrypted and %d plain vectors, want 5 and 3", len(all.Encrypted), len(all.Plain))
	}
	return all.Encrypted, all.Plain
}

func (v vector) wx(t *testing.T) *simtest.Sim {
	t.Helper()
	return simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{{
		AppID: "wx0123456789abcdef", Secret: "x", Token: v.Token, AESKey: v.AESKey, ReceiverID: v.ReceiveID, OriginalID: "gh_97417a04a28d",
	}}})
}

// written are the vectors' messages as they are made here, by vector.
var written = map[string]simulator.Push{
	"A3-push-json-safe": {Format: simulator.JSON, Message: simulator.Message{
		From: "o9AgO5Kd5ggOC-bXrbNODIiE3bGY", Created: time.Unix(1714112445, 0), Type: "event",
		Fields: []simulator.Field{{Name: "Event", Value: "debug_demo"}, {Name: "debug_str", Value: "hello world"}},
	}},
	"B1-push-xml-thirdparty": {Message: func() simulator.Message {
		m := simulator.Notice("debug_demo").With("debug_str", "hello world").By("o9AgO5Kd5ggOC-bXrbNODIiE3bGY")
		m.Created = time.Unix(1715943329, 0)
		return m
	}()},
	"C-push-xml-sample": {Message: func() simulator.Message {
		m := simulator.Text("abcdteT").By("oyORnuP8q7ou2gfYjqLzSIWZf0rs")
		m.To, m.ID, m.Created = "gh_10f6c3c3ac5a", 6054768590064713728, time.Unix(1409735668, 0)
		return m
	}()},
	"D1-wecom-echostr":   {Message: simulator.Message{Raw: "1616140317555161061"}},
	"A4-reply-json-safe": {Format: simulator.JSON, Message: simulator.Message{Raw: `{"demo_resp":"good luck"}`}},
}

// TestVectors writes every message of the vectors, from its parts where it is a
// push, and compares every byte that Tencent printed.
func TestVectors(t *testing.T) {
	encrypted, plain := vectors(t)
	for _, v := range encrypted {
		p := written[v.ID]
		p.URL, p.Timestamp, p.Nonce, p.Random = "http://app.example/wechat?own=1", v.Timestamp, v.Nonce, v.Random
		r, err := v.wx(t).NewRequest(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		to := p.Message.To
		if to == "" {
			to = "gh_97417a04a28d"
		}
		want := "<xml>\n    <ToUserName><![CDATA[" + to + "]]></ToUserName>\n    <Encrypt><![CDATA[" + v.Encrypt + "]]></Encrypt>\n</xml>\n"
		if p.Format == simulator.JSON {
			want = `{"ToUserName":"` + to + `","Encrypt":"` + v.Encrypt + `"}`
		}
		if string(body) != want {
			t.Errorf("%s: body\n%s\nwant\n%s", v.ID, body, want)
		}
		q := r.URL.Query()
		if q.Get("msg_signature") != v.MsgSignature || (v.Signature != "" && q.Get("signature") != v.Signature) || q.Get("own") != "1" {
			t.Errorf("%s: query %s", v.ID, r.URL.RawQuery)
		}
		if p.Message.Raw == "" { // the message itself, as it stands in plain mode
			p.Mode = simulator.Plain
			r, _ := v.wx(t).NewRequest(t.Context(), p)
			if body, _ := io.ReadAll(r.Body); string(body) != v.Plaintext {
				t.Errorf("%s: plain\n%s\nwant\n%s", v.ID, body, v.Plaintext)
			}
		}
	}
	for _, v := range plain {
		wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{{AppID: appid, Secret: secret, Token: v.Token}}})
		r, err := wx.NewRequest(
			t.Context(),
			simulator.Push{URL: "http://a/", Message: simulator.Text("x"), Timestamp: v.Timestamp, Nonce: v.Nonce},
		)
		if err != nil || r.URL.Query().Get("signature") != v.Signature {
			t.Errorf("%s: %v %s", v.ID, err, r.URL)
		}
	}
}

// TestVectorOfReply gives the judge Tencent's own reply to read.
func TestVectorOfReply(t *testing.T) {
	encrypted, _ := vectors(t)
	v := encrypted[slices.IndexFunc(encrypted, func(v vector) bool { return v.Kind == "reply" })]
	app := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"Encrypt":"%s","MsgSignature":"%s","TimeStamp":%s,"Nonce":"%s"}`, v.Encrypt, v.MsgSignature, v.Timestamp, v.Nonce)
	})
	res, err := v.wx(t).Deliver(t.Context(), simulator.Push{Handler: app, Format: simulator.JSON, Message: simulator.Notice("debug_demo")})
	if err != nil || res.Verdict != simulator.Silent || res.Reply.Raw != v.Plaintext {
		t.Errorf("%v %+v", err, res)
	}
}

// account is the account that pushes in these tests.
func pushing() simulator.Account {
	return simulator.Account{
		AppID: appid, Secret: secret, Token: "AAAAA", AESKey: "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
		OriginalID: "gh_0123456789ab", Followers: []string{"oAbCd0123456789EfGhIjKlMnOpQ", "oOther"},
	}
}

func pusher(tb testing.TB) *simtest.Sim {
	tb.Helper()
	return simtest.InMemory(tb, simulator.Options{Accounts: []simulator.Account{pushing()}, Seed: 7})
}

// TestSamplesOfWeChat compares with messages whose lengths were proved against
// captured ones.
func TestSamplesOfWeChat(t *testing.T) {
	wx := pusher(t)
	at := func(m simulator.Message, created, id int64) simulator.Message {
		m.Created, m.ID = time.Unix(created, 0), id
		return m
	}
	mass := composed(t, "MASSSENDJOBFINISH", "")
	mass.Fields = mass.Fields[:7] // without the articles
	const head = "<xml><ToUserName><![CDATA[gh_0123456789ab]]></ToUserName>\n<FromUserName><![CDATA[oAbCd0123456789EfGhIjKlMnOpQ]]></FromUserName>\n"
	for _, row := range []struct {
		message simulator.Message
		want    string
		length  int
	}{
		{
			at(simulator.Text("文本消息"), 1668869541, 23892468385179204),
			head + "<CreateTime>1668869541</CreateTime>\n<MsgType><![CDATA[text]]></MsgType>\n<Content><![CDATA[文本消息]]></Content>\n<MsgId>23892468385179204</MsgId>\n</xml>", 283,
		},
		{
			at(simulator.Subscribe(), 1668926536, 0),
			head + "<CreateTime>1668926536</CreateTime>\n<MsgType><![CDATA[event]]></MsgType>\n<Event><![CDATA[subscribe]]></Event>\n<EventKey><![CDATA[]]></EventKey>\n</xml>", 278,
		},
		{
			at(simulator.Location(31.237238, 121.666672, 16, "浦东新区上丰路1270号"), 1668931049, 23893347810211482),
			head + "<CreateTime>1668931049</CreateTime>\n<MsgType><![CDATA[location]]></MsgType>\n<Location_X>31.237238</Location_X>\n<Location_Y>121.666672</Location_Y>\n" +
				"<Scale>16</Scale>\n<Label><![CDATA[浦东新区上丰路1270号]]></Label>\n<MsgId>23893347810211482</MsgId>\n</xml>", 388,
		},
		{
			at(simulator.Image("http://p", "m"), 1, 2),
			head + "<CreateTime>1</CreateTime>\n<MsgType><![CDATA[image]]></MsgType>\n<PicUrl><![CDATA[http://p]]></PicUrl>\n<MsgId>2</MsgId>\n<MediaId><![CDATA[m]]></MediaId>\n</xml>", 0,
		},
		{
			at(simulator.Voice("m", ""), 1, 2),
			head + "<CreateTime>1</CreateTime>\n<MsgType><![CDATA[voice]]></MsgType>\n<MediaId><![CDATA[m]]></MediaId>\n<Format><![CDATA[amr]]></Format>\n<MsgId>2</MsgId>\n<Recognition><![CDATA[]]></Recognition>\n</xml>", 0,
		},
		{
			at(mass, 1481013459, 0),
			head + "<CreateTime>1481013459</CreateTime>\n<MsgType><![CDATA[event]]></MsgType>\n<Event><![CDATA[MASSSENDJOBFINISH]]></Event>\n<MsgID>1000001625</MsgID>\n" +
				"<Status><![CDATA[err(30003)]]></Status>\n<TotalCount>0</TotalCount>\n<FilterCount>0</FilterCount>\n<SentCount>0</SentCount>\n<ErrorCount>0</ErrorCount>\n</xml>", 0,
		},
	} {
		r, err := wx.NewRequest(t.Context(), simulator.Push{URL: "http://a/", Mode: simulator.Plain, Message: row.message})
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		if string(body) != row.want || (row.length > 0 && len(body) != row.length) {
			t.Errorf("%d bytes\n%s\nwant %d\n%s", len(body), body, row.length, row.want)
		}
	}
}

func TestRequestOnTheWire(t *testing.T) {
	wx := pusher(t)
	var got *http.Request
	var length int64
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(t.Context())
		n, _ := io.Copy(io.Discard, r.Body)
		length = n
		_, _ = io.WriteString(w, "success")
	}))
	defer app.Close()
	if res, err := wx.Push(t.Context(), app.URL, simulator.Text("你好")); err != nil || res.Verdict != simulator.Silent {
		t.Fatal(err, res)
	}
	var names []string
	for part := range strings.SplitSeq(got.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(part, "=")
		names = append(names, name)
	}
	if want := []string{"signature", "timestamp", "nonce", "openid", "encrypt_type", "msg_signature"}; !slices.Equal(names, want) {
		t.Errorf("query %v, want %v", names, want)
	}
	for name, want := range map[string]string{
		"User-Agent": "Mozilla/4.0", "Accept": "*/*", "Pragma": "no-cache",
		"Content-Type": "text/xml", "Accept-Encoding": "",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Header.Get(name), want)
		}
	}
	if !got.Close || got.Method != http.MethodPost || got.URL.Path != "/" || got.ContentLength != length {
		t.Errorf("close %t, %s %s, %d of %d bytes", got.Close, got.Method, got.URL.Path, got.ContentLength, length)
	}
	q := got.URL.Query()
	if age := time.Since(time.Unix(mustInt(t, q.Get("timestamp")), 0)); age < 0 || age > time.Minute || len(q.Get("nonce")) > 10 ||
		q.Get("openid") != "oAbCd0123456789EfGhIjKlMnOpQ" {
		t.Errorf("%s old, %s", age, got.URL.RawQuery)
	}
}

func mustInt(t *testing.T, s string) (n int64) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestEverySample sends every message through every mode and format to an app that
// is built on package callback, and compares what it reads.
func TestEverySample(t *testing.T) {
	wx := pusher(t)
	for _, mode := range []simulator.Mode{simulator.Plain, simulator.Compatible, simulator.Safe} {
		for _, format := range []simulator.Format{simulator.XML, simulator.JSON} {
			conf := callback.Config{AppID: appid, Token: text("AAAAA"), Freshness: 5 * time.Minute}
			if mode != simulator.Plain {
				conf.AESKey = text(pushing().AESKey)
			}
			verifier, err := callback.NewVerifier(conf)
			if err != nil {
				t.Fatal(err)
			}
			for _, sample := range simulator.Samples() {
				var got string
				app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					q, err := callback.ParseQuery(r.URL.RawQuery)
					if err != nil {
						t.Error(err)
					}
					body, _ := io.ReadAll(r.Body)
					if mode == simulator.Compatible && !bytes.Contains(body, []byte("MsgType")) {
						t.Errorf("%s: no plain fields beside Encrypt", sample.Name)
					}
					message, _, err := verifier.Open(q, body)
					if err != nil {
						t.Errorf("%s %s %s: %v", mode, format, sample.Name, err)
					}
					got = string(message)
					_, _ = io.WriteString(w, "success")
				})
				p := simulator.Push{Handler: app, Mode: mode, Format: format, Message: sample.Message}
				p.Message.Created, p.Message.ID = time.Unix(1700000000, 0), 23892468385179204
				if res, err := wx.Deliver(t.Context(), p); err != nil || res.Verdict != simulator.Silent || len(res.Deliveries) != 1 {
					t.Fatal(err, res)
				}
				plain := p
				plain.Mode, plain.URL = simulator.Plain, "http://a/"
				r, err := wx.NewRequest(t.Context(), plain)
				if err != nil {
					t.Fatal(err)
				}
				want, _ := io.ReadAll(r.Body)
				if got != string(want) {
					t.Errorf("%s %s %s: read\n%s\nwant\n%s", mode, format, sample.Name, got, want)
				}
				if format == simulator.JSON && !json.Valid(want) {
					t.Errorf("%s: broken JSON %s", sample.Name, want)
				}
				if format == simulator.XML {
					var read struct {
						MsgType, Event string
					}
					if err := xml.Unmarshal(want, &read); err != nil || read.MsgType == "" || (read.MsgType == "event") != (read.Event != "") {
						t.Errorf("%s: %v %s", sample.Name, err, want)
					}
				}
			}
		}
	}
}

type text string

func (t text) Reveal() string { return string(t) }

// composed is the sample of that name.
func composed(t *testing.T, name, value string) simulator.Message {
	t.Helper()
	m, err := simulator.Compose(name, value, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestNestedForms pins the forms of elements inside of others.
func TestNestedForms(t *testing.T) {
	wx := pusher(t)
	const head = `{"ToUserName":"gh_0123456789ab","FromUserName":"oAbCd0123456789EfGhIjKlMnOpQ","CreateTime":1,"MsgType":"event","Event":`
	for _, row := range []struct {
		message   simulator.Message
		xml, json string
	}{
		{
			composed(t, "scancode_push", "K").With("ScanCodeInfo", []simulator.Field{{"ScanType", "qrcode"}, {"ScanResult", "1"}}),
			"<ScanCodeInfo><ScanType><![CDATA[qrcode]]></ScanType>\n<ScanResult><![CDATA[1]]></ScanResult>\n</ScanCodeInfo>\n</xml>",
			head + `"scancode_push","EventKey":"K","ScanCodeInfo":{"ScanType":"qrcode","ScanResult":"1"}}`,
		},
		{
			composed(t, "pic_weixin", "K").With("SendPicsInfo", []simulator.Field{
				{"Count", 2},
				{"PicList", []simulator.Field{{"item", []simulator.Field{{"PicMd5Sum", "a"}}}, {"item", []simulator.Field{{"PicMd5Sum", "b"}}}}},
			}),
			"<SendPicsInfo><Count>2</Count>\n<PicList><item><PicMd5Sum><![CDATA[a]]></PicMd5Sum>\n</item>\n<item><PicMd5Sum><![CDATA[b]]></PicMd5Sum>\n</item>\n</PicList>\n</SendPicsInfo>\n</xml>",
			head + `"pic_weixin","EventKey":"K","SendPicsInfo":{"Count":2,"PicList":{"item":[{"PicMd5Sum":"a"},{"PicMd5Sum":"b"}]}}}`,
		},
		{
			composed(t, "subscribe_msg_popup_event", "").With("SubscribeMsgPopupEvent", []simulator.Field{
				{"List", []simulator.Field{{"TemplateId", "t"}, {"SubscribeStatusString", "accept"}, {"PopupScene", 2}}},
			}),
			"<SubscribeMsgPopupEvent><List><TemplateId><![CDATA[t]]></TemplateId>\n<SubscribeStatusString><![CDATA[accept]]></SubscribeStatusString>\n<PopupScene>2</PopupScene>\n</List>\n</SubscribeMsgPopupEvent>\n</xml>",
			head + `"subscribe_msg_popup_event","SubscribeMsgPopupEvent":{"List":{"TemplateId":"t","SubscribeStatusString":"accept","PopupScene":2}}}`,
		},
		{
			simulator.Click("a]]>b\"\\\n<&>\u2028"),
			"<EventKey><![CDATA[a]]>b\"\\\n<&>\u2028]]></EventKey>\n</xml>",
			head + `"CLICK","EventKey":"a]]>b\"\\\u000a<&>` + "\u2028" + `"}`,
		},
	} {
		row.message.Created = time.Unix(1, 0)
		for format, want := range map[simulator.Format]string{simulator.XML: row.xml, simulator.JSON: row.json} {
			r, err := wx.NewRequest(t.Context(), simulator.Push{URL: "http://a/", Mode: simulator.Plain, Format: format, Message: row.message})
			if err != nil {
				t.Fatal(err)
			}
			if body, _ := io.ReadAll(r.Body); !strings.HasSuffix(string(body), want) {
				t.Errorf("%s\nwant at the end\n%s", body, want)
			}
		}
	}
}

// TestRandomMessagesAtScale seals messages of every padding and opens them with package callback,
// and each fiftieth with the openssl program.
func TestRandomMessagesAtScale(t *testing.T) {
	messages := tier.Scale(t, 1000, tier.Count(2_000, 10_000))
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("openssl is needed as somebody else's implementation: install it")
	}
	random := rand.New(rand.NewPCG(1, 2))
	wx := pusher(t)
	key, _ := base64.StdEncoding.DecodeString(pushing().AESKey + "=")
	verifier, err := callback.NewVerifier(callback.Config{AppID: appid, Token: text("AAAAA"), AESKey: text(pushing().AESKey)})
	if err != nil {
		t.Fatal(err)
	}
	pads := map[byte]int{}
	for n := range messages {
		content := make([]rune, random.IntN(400))
		for i := range content {
			content[i] = rune(0x20 + random.IntN(1<<(5+random.IntN(12)))) // ASCII to CJK
		}
		message := string(content) + string(make([]byte, n%32)) // bytes that no parser would take, too
		if message == "" {
			message = "x"
		}
		p := simulator.Push{
			URL:     "http://a/",
			Message: simulator.Message{Raw: message},
			Format:  []simulator.Format{simulator.XML, simulator.JSON}[n%2],
		}
		r, err := wx.NewRequest(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		q, err := callback.ParseQuery(r.URL.RawQuery)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := verifier.Open(q, body)
		if err != nil || string(got) != message {
			t.Fatalf("message %d: %v, %q, want %q", n, err, got, message)
		}

		plain := 16 + 4 + len(message) + len(appid)
		pad := byte(32 - plain%32)
		pads[pad]++
		if n%50 != 0 {
			continue
		}
		cmd := exec.CommandContext(t.Context(), openssl, "enc", "-d", "-aes-256-cbc", "-nopad", "-a", "-A", "-K",
			hex.EncodeToString(key), "-iv", hex.EncodeToString(key[:16]))
		cmd.Stdin = strings.NewReader(between(t, string(body)))
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("message %d: openssl: %v", n, err)
		}
		want := fmt.Sprintf("%08x", len(message)) + hex.EncodeToString([]byte(message+appid)) + strings.Repeat(fmt.Sprintf("%02x", pad), int(pad))
		if hex.EncodeToString(out[16:]) != want {
			t.Fatalf("message %d: openssl reads %q", n, out)
		}
	}
	for pad := byte(1); pad <= 32; pad++ {
		if pads[pad] == 0 {
			t.Errorf("no message with a padding of %d", pad)
		}
	}
}

// between returns what stands in the body's Encrypt.
func between(t *testing.T, body string) string {
	t.Helper()
	for _, quotes := range [][2]string{{"<Encrypt><![CDATA[", "]]>"}, {`"Encrypt":"`, `"`}} {
		if _, rest, ok := strings.Cut(body, quotes[0]); ok {
			encrypt, _, _ := strings.Cut(rest, quotes[1])
			return encrypt
		}
	}
	t.Fatalf("no Encrypt in %s", body)
	return ""
}

// TestSkew: pushes carry real time, whatever the clock, but for the skew.
func TestSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{pushing()}, Skew: -10 * time.Minute})
		stamp := func() (timestamp, created time.Time) {
			t.Helper()
			r, err := wx.NewRequest(t.Context(), simulator.Push{URL: "http://a/", Mode: simulator.Plain, Message: simulator.Text("x")})
			if err != nil {
				t.Fatal(err)
			}
			var m struct{ CreateTime int64 }
			if err := xml.NewDecoder(r.Body).Decode(&m); err != nil {
				t.Fatal(err)
			}
			return time.Unix(mustInt(t, r.URL.Query().Get("timestamp")), 0), time.Unix(m.CreateTime, 0)
		}
		wx.Clock.Advance(24 * time.Hour)
		if a, b := stamp(); !a.Equal(time.Now().Add(-10*time.Minute)) || !b.Equal(a) {
			t.Error(a, b)
		}
		wx.SetSkew(0)
		if a, b := stamp(); !a.Equal(time.Now()) || !b.Equal(a) {
			t.Error(a, b)
		}
	})
}

func TestPushMistakes(t *testing.T) {
	plain := pushing()
	plain.AESKey = ""
	none := pushing()
	none.Token = ""
	msg := simulator.Text("x")
	for want, row := range map[string]struct {
		account simulator.Account
		push    simulator.Push
	}{
		"has no Token to sign pushes with":                                  {none, simulator.Push{URL: "http://a/", Message: msg}},
		"has no AESKey, which safe mode needs":                              {plain, simulator.Push{URL: "http://a/", Message: msg, Mode: simulator.Safe}},
		`there is no mode "x"`:                                              {pushing(), simulator.Push{URL: "http://a/", Message: msg, Mode: "x"}},
		`there is no format "x"`:                                            {pushing(), simulator.Push{URL: "http://a/", Message: msg, Format: "x"}},
		`there is no attack "x"`:                                            {pushing(), simulator.Push{URL: "http://a/", Message: msg, Attack: "x"}},
		"plaintext is for an app in safe mode":                              {plain, simulator.Push{URL: "http://a/", Message: msg, Attack: simulator.PlainText}},
		"the attack tampered needs encryption":                              {plain, simulator.Push{URL: "http://a/", Message: msg, Attack: simulator.Tampered}},
		"or the account a CallbackURL":                                      {pushing(), simulator.Push{Message: msg}},
		`"127.0.0.1:3100" has to begin with http:// or https:// and a host`: {pushing(), simulator.Push{URL: "127.0.0.1:3100", Message: msg}},
		`"ftp://a/" has to begin with http://`:                              {pushing(), simulator.Push{URL: "ftp://a/", Message: msg}},
		"there is no account wx1":                                           {pushing(), simulator.Push{URL: "http://a/", Message: msg, AppID: "wx1"}},
		"the message has no Type":                                           {pushing(), simulator.Push{URL: "http://a/"}},
		`"a b" cannot be a field's name`:                                    {pushing(), simulator.Push{URL: "http://a/", Message: msg.With("a b", "")}},
		`a Number, but "x" is none`:                                         {pushing(), simulator.Push{URL: "http://a/", Message: msg.With("a", simulator.Number("x"))}},
		"the field a has a bool":                                            {pushing(), simulator.Push{URL: "http://a/", Message: msg.With("a", true)}},
		"Push.Random has 3 bytes, not 16":                                   {pushing(), simulator.Push{URL: "http://a/", Message: msg, Random: "abc"}},
		"a raw message has no fields":                                       {pushing(), simulator.Push{URL: "http://a/", Message: simulator.Message{Raw: "x"}, Mode: simulator.Compatible}},
	} {
		wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{row.account}})
		if res, err := wx.Deliver(t.Context(), row.push); err == nil || !strings.Contains(err.Error(), want) || len(res.Deliveries) > 0 {
			t.Errorf("%v\nwant %q", err, want)
		}
		if err := wx.Stats(appid).Pushes; err != 0 {
			t.Errorf("%s: something was sent", want)
		}
	}
	for want, change := range map[string]func(*simulator.Account){
		"the Token of " + appid + " has to be 3 to 32 letters": func(a *simulator.Account) { a.Token = "a!b" },
		"the AESKey of " + appid + " has to be 43 letters":     func(a *simulator.Account) { a.AESKey = "SECRETKEY" },
		"the Mode of " + appid + ` is "x"`:                     func(a *simulator.Account) { a.Mode = "x" },
		"the Mode of " + appid + " is safe, which needs":       func(a *simulator.Account) { a.Mode, a.AESKey = simulator.Safe, "" },
		"the Format of " + appid + ` is "x"`:                   func(a *simulator.Account) { a.Format = "x" },
		"the CallbackURL of " + appid:                          func(a *simulator.Account) { a.CallbackURL = "x" },
	} {
		a := pushing()
		change(&a)
		if _, err := simulator.New(simulator.Options{Accounts: []simulator.Account{a}}); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "SECRETKEY") {
			t.Errorf("%v\nwant %q", err, want)
		}
	}
}
