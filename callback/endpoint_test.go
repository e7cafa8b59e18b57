package callback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/race"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

const (
	testAppID = "wxba5fad812f8e6fb9"
	testToken = "AAAAA"
	testKey   = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

func safeConfig() Config {
	return Config{AppID: testAppID, Token: text(testToken), AESKey: text(testKey), Freshness: 5 * time.Minute}
}

func plainConfig() Config {
	return Config{AppID: testAppID, Token: text(testToken), Freshness: 5 * time.Minute}
}

var nonces atomic.Int64 // none is used twice

// sentAs returns the request by which WeChat pushes message now, encrypted or not.
func sentAs(tb testing.TB, encrypted bool, message string) *http.Request {
	tb.Helper()
	timestamp, nonce := strconv.FormatInt(time.Now().Unix(), 10), strconv.FormatInt(nonces.Add(1), 10)
	query := "signature=" + Signature(testToken, timestamp, nonce) + "&timestamp=" + timestamp + "&nonce=" + nonce + "&openid=" + follower
	body := []byte(message)
	if encrypted {
		envelope, err := newVerifier(tb, safeConfig()).Seal(Pair{}, timestamp, nonce, body)
		if err != nil {
			tb.Fatal(err)
		}
		query += "&encrypt_type=aes&msg_signature=" + envelope.MsgSignature
		body = xmlBody(envelope.Encrypt)
		if message[0] == '{' {
			body = jsonBody(envelope.Encrypt)
		}
	}
	return httptest.NewRequest(http.MethodPost, "/?"+query, bytes.NewReader(body))
}

// textPush is a text of a follower, the id-th.
func textPush(id int, content string) string {
	return push(time.Now().Unix(), TypeText, elements("Content", content, "MsgId", strconv.Itoa(23892468385170000+id)))
}

// answered is what WeChat makes of an answer: the reply's fields, nil for none.
func answered(tb testing.TB, recorder *httptest.ResponseRecorder) Fields {
	tb.Helper()
	body := recorder.Body.String()
	if recorder.Code != http.StatusOK {
		tb.Fatalf("the answer is %d %s", recorder.Code, body)
	}
	if body == "success" {
		return nil
	}
	fields, isJSON, wrong := readAnswer(body)
	if wrong != "" {
		tb.Fatalf("the answer is %s: %s", body, wrong)
	}
	if encrypt := fields.Get("Encrypt"); encrypt != "" {
		q := Query{Timestamp: fields.Get("TimeStamp"), Nonce: fields.Get("Nonce"), MsgSignature: fields.Get("MsgSignature")}
		message, _, err := newVerifier(tb, safeConfig()).Open(q, jsonBody(encrypt))
		if err != nil {
			tb.Fatalf("the answer does not open: %v", err)
		}
		var innerJSON bool
		if fields, innerJSON, wrong = readAnswer(string(message)); wrong != "" || innerJSON != isJSON {
			tb.Fatalf("inside of the answer stands %s: %s", message, wrong)
		}
	}
	if fields.Get("ToUserName") != follower || fields.Get("FromUserName") != account {
		tb.Errorf("the answer goes to %s from %s", fields.Get("ToUserName"), fields.Get("FromUserName"))
	}
	return fields
}

// readAnswer reads what we answer: XML that is escaped as XML is, unlike a push.
func readAnswer(body string) (fields Fields, isJSON bool, wrong string) {
	if body = clean(body); strings.HasPrefix(body, "<") {
		fields, wrong = decodeXML(body, nil)
		return fields, false, wrong
	}
	return parse(body)
}

// wechat sends message as WeChat does: three times, 5 s apart, until somebody
// answers; the i-th time to the i-th endpoint. It returns the answer's Content, ""
// for success, and the delivery that was answered, 0 if none was.
func wechat(t *testing.T, encrypted bool, message string, endpoints ...http.Handler) (content string, delivery int) {
	t.Helper()
	for i := range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		recorder := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			endpoints[i%len(endpoints)].ServeHTTP(recorder, sentAs(t, encrypted, message).WithContext(ctx))
		}()
		<-done
		gone := ctx.Err() != nil
		cancel()
		if !gone {
			return answered(t, recorder).Get("Content"), i + 1
		}
	}
	return "", 0
}

// messages is a Sender that remembers.
type messages struct {
	mu   sync.Mutex
	sent []string
	err  error
}

func (s *messages) Send(_ context.Context, openid string, reply *Reply) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if openid != follower {
		return errors.New("sent to " + openid)
	}
	s.sent = append(s.sent, reply.Content)
	return s.err
}

func (s *messages) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.sent, ",")
}

func mustEndpoint(tb testing.TB, config EndpointConfig) *Endpoint {
	tb.Helper()
	if config.Verifier == nil {
		config.Verifier = newVerifier(tb, safeConfig())
	}
	e, err := NewEndpoint(config)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func mustShutdown(t *testing.T, e *Endpoint) {
	t.Helper()
	if err := e.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestEndpointModes: the answer has the form of the question, sealed with the pair
// that opened it, and success is never sealed.
func TestEndpointModes(t *testing.T) {
	bot := NewRouter()
	bot.Text("nothing", func(*Context) error { return nil })
	bot.Event(Unsubscribe, func(c *Context) error { return c.ReplyText("farewell") })
	bot.Default(func(c *Context) error { return c.ReplyText("echo " + c.Message.Content) })
	for name, config := range map[string]Config{"plain": plainConfig(), "safe": safeConfig()} {
		safe := name == "safe"
		e := mustEndpoint(t, EndpointConfig{Verifier: newVerifier(t, config), Router: bot})
		for i, test := range []struct{ message, want, contentType string }{
			{textPush(1, "你好"), "echo 你好", "text/xml; charset=utf-8"},
			{textPush(2, "nothing"), "", "text/plain; charset=utf-8"},
			{asJSON(mustParse(t, textPush(3, "你好")).Fields), "echo 你好", "application/json; charset=utf-8"},
			{push(1, TypeEvent, elements("Event", "unsubscribe", "EventKey", "")), "", "text/plain; charset=utf-8"},
			{`{"action":"CheckContainerPath"}`, "", "text/plain; charset=utf-8"},
		} {
			recorder := httptest.NewRecorder()
			e.ServeHTTP(recorder, sentAs(t, safe, test.message))
			if got := answered(t, recorder).Get("Content"); got != test.want {
				t.Errorf("%s, %d: answered %q, want %q", name, i, got, test.want)
			}
			if got := recorder.Header().Get("Content-Type"); got != test.contentType {
				t.Errorf("%s, %d: Content-Type %s, want %s", name, i, got, test.contentType)
			}
			if encrypted := strings.Contains(recorder.Body.String(), "Encrypt"); encrypted != (safe && test.want != "") {
				t.Errorf("%s, %d: the answer is %s", name, i, recorder.Body)
			}
		}
		mustShutdown(t, e)
	}
	previous := safeConfig()
	previous.Token, previous.TokenPrevious = text("another"), previous.Token
	previous.AESKey, previous.AESKeyPrevious = text(strings.Repeat("B", 43)), previous.AESKey
	e := mustEndpoint(t, EndpointConfig{Verifier: newVerifier(t, previous), Router: bot})
	recorder := httptest.NewRecorder()
	e.ServeHTTP(recorder, sentAs(t, true, textPush(4, "old")))
	if got := answered(t, recorder).Get("Content"); got != "echo old" { // with the pair of before
		t.Errorf("with the previous pair: %q", got)
	}
	mustShutdown(t, e)
}

func TestEndpointHandshake(t *testing.T) {
	e := mustEndpoint(t, EndpointConfig{Router: NewRouter()})
	defer mustShutdown(t, e)
	const query = "/?signature=f464b24fc39322e44b38aa78f5edd27bd1441696&timestamp=1714036504&nonce=1514711492&echostr=4375120948345356249"
	for _, test := range []struct {
		method, url string
		code        int
		body        string
	}{
		{http.MethodGet, query, 200, "4375120948345356249"},
		{http.MethodGet, strings.Replace(query, "f464", "f465", 1), 403, "wrong"},
		{http.MethodGet, query + "&nonce=1", 403, "wrong"},
		{http.MethodGet, "/", 403, "wrong"},
		{http.MethodPost, "/?nonce=1&nonce=2", 403, "wrong"},
		{http.MethodPut, query, 405, "wrong"},
	} {
		recorder := httptest.NewRecorder()
		e.ServeHTTP(recorder, httptest.NewRequest(test.method, test.url, http.NoBody))
		if recorder.Code != test.code || recorder.Body.String() != test.body || recorder.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s %s: %d %s", test.method, test.url, recorder.Code, recorder.Body)
		}
	}
	for _, length := range []int64{1000, -1} {
		broken := sentAs(t, true, textPush(1, "a"))
		broken.Body = io.NopCloser(io.MultiReader(strings.NewReader("<xml>"), iotest.ErrReader(io.ErrUnexpectedEOF)))
		broken.ContentLength = length
		recorder := httptest.NewRecorder()
		e.ServeHTTP(recorder, broken)
		if recorder.Code != http.StatusBadRequest {
			t.Errorf("a broken body is answered with %d", recorder.Code)
		}
	}
	for _, n := range []int{0, 4095, 4096, 4097, MaxBody, MaxBody + 1} {
		r := httptest.NewRequest(http.MethodPost, "/", iotest.HalfReader(strings.NewReader(strings.Repeat("a", n))))
		r.ContentLength = -1
		if body, err := readBody(r, nil); err != nil || len(body) != n {
			t.Errorf("of %d bytes %d are read, %v", n, len(body), err)
		}
	}
}

func TestNewEndpointRefuses(t *testing.T) {
	verifier, once := newVerifier(t, safeConfig()), memory.New()
	for want, config := range map[string]EndpointConfig{
		"Verifier":    {Router: NewRouter()},
		"Router":      {Verifier: verifier},
		"Working":     {Verifier: verifier, Router: NewRouter(), Working: strings.Repeat("a", 2049)},
		"SealKeys[0]": {Verifier: verifier, Router: NewRouter(), Once: once, SealKeys: []Secret{text("secret")}},
	} {
		e, err := NewEndpoint(config)
		if e != nil || err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), `"secret"`) {
			t.Errorf("without a good %s: %v, %v", want, e, err)
		}
	}
}

// TestEndpointRefuses: what WeChat did not send reaches no handler, costs little,
// and is told in the log once.
func TestEndpointRefuses(t *testing.T) {
	right := textPush(1, "contents")
	plain := func(message string) *http.Request { return sentAs(t, false, message) }
	safe := func(message string) *http.Request { return sentAs(t, true, message) }
	query := func(r *http.Request, change func(string) string) *http.Request {
		r.URL.RawQuery = change(r.URL.RawQuery)
		return r
	}
	without := func(name string) func(string) string {
		return func(query string) string {
			return strings.Join(slices.DeleteFunc(strings.Split(query, "&"), func(p string) bool { return strings.HasPrefix(p, name+"=") }), "&")
		}
	}
	old := func(r *http.Request, body string) *http.Request {
		timestamp := strconv.FormatInt(time.Now().Add(-10*time.Minute).Unix(), 10)
		r.URL.RawQuery = "signature=" + Signature(testToken, timestamp, "1") + "&timestamp=" + timestamp + "&nonce=1&encrypt_type=raw"
		r.Body = io.NopCloser(strings.NewReader(body))
		r.ContentLength = int64(len(body))
		return r
	}
	unknownLength := func(r *http.Request) *http.Request { r.ContentLength = -1; return r }
	foreign := func() *http.Request {
		config := safeConfig()
		config.AppID = "wx0000000000000000"
		now := strconv.FormatInt(time.Now().Unix(), 10)
		envelope, err := newVerifier(t, config).Seal(Pair{}, now, "1", []byte(right))
		if err != nil {
			t.Fatal(err)
		}
		return httptest.NewRequest(http.MethodPost, "/?timestamp="+now+"&nonce=1&msg_signature="+envelope.MsgSignature, bytes.NewReader(xmlBody(envelope.Encrypt)))
	}
	truncated := func() *http.Request {
		now := strconv.FormatInt(time.Now().Unix(), 10)
		envelope, err := newVerifier(t, safeConfig()).Seal(Pair{}, now, "1", []byte(right))
		if err != nil {
			t.Fatal(err)
		}
		encrypt := truncate(t, envelope.Encrypt, 32)
		return httptest.NewRequest(http.MethodPost, "/?timestamp="+now+"&nonce=1&msg_signature="+Signature(testToken, now, "1", encrypt), bytes.NewReader(xmlBody(encrypt)))
	}
	huge := "<xml><Content><![CDATA[" + strings.Repeat("a", 10<<20) + "]]></Content></xml>"
	many := "<xml>" + strings.Repeat("<a>1</a>", 50_000) + strings.Repeat("<a/>", 20_000) + "</xml>"
	for name, test := range map[string]struct {
		request *http.Request
		reason  Reason
	}{
		"unsigned, plain":            {query(plain(right), func(string) string { return "" }), ReasonMissing},
		"unsigned, safe":             {query(safe(right), func(string) string { return "" }), ReasonMissing},
		"no msg_signature":           {query(safe(right), without("msg_signature")), ReasonMissing},
		"wrong signature, plain":     {query(plain(right), func(q string) string { return strings.Replace(q, "nonce=", "nonce=1", 1) }), ReasonSignature},
		"wrong signature, safe":      {query(safe(right), func(q string) string { return strings.Replace(q, "nonce=", "nonce=1", 1) }), ReasonSignature},
		"another body, safe":         {query(safe(right), func(string) string { return safe(textPush(2, "another")).URL.RawQuery }), ReasonMsgSignature},
		"plain text to a safe app":   {plain(right), ReasonPlainText},
		"plain text that says aes":   {query(plain(right), func(q string) string { return q + "&encrypt_type=aes" }), ReasonPlainText},
		"plain text, msg_signature":  {query(plain(right), func(q string) string { return q + "&encrypt_type=aes&msg_signature=" + Signature(testToken) }), ReasonPlainText},
		"another appid":              {foreign(), ReasonAppID},
		"10 minutes old":             {old(plain(right), right), ReasonStale},
		"10 MiB, plain":              {plain(huge), ReasonBodyTooLarge},
		"10 MiB, length unknown":     {unknownLength(plain(huge)), ReasonBodyTooLarge},
		"10 MiB, to a safe app":      {query(plain(huge), func(q string) string { return q + "&msg_signature=1" }), ReasonBodyTooLarge},
		"100,000 elements":           {plain("<xml>" + strings.Repeat("<a/>", 100_000) + "</xml>"), ReasonMessage},
		"70,000 elements, encrypted": {safe("<xml>" + strings.Repeat("<a/>", 70_000) + "</xml>"), ReasonMessage},
		"many elements, unknown":     {unknownLength(plain(many)), ReasonMessage},
		"JSON, 100,000 elements":     {plain(`{"a":[` + strings.Repeat("1,", 100_000) + `1]}`), ReasonMessage},
		"entity bomb":                {plain(bomb()), ReasonMessage},
		"entity bomb, encrypted":     {safe(bomb()), ReasonMessage},
		"entity bomb as envelope":    {query(plain(bomb()), func(q string) string { return q + "&msg_signature=1" }), ReasonEnvelope},
		"truncated ciphertext":       {truncated(), ReasonAESKey},
	} {
		t.Run(name, func(t *testing.T) {
			config := plainConfig()
			toSafe := strings.Contains(test.request.URL.RawQuery, "msg_signature") || strings.Contains(name, "safe") || test.reason == ReasonPlainText || name == "no msg_signature"
			if toSafe {
				config = safeConfig()
			}
			var out bytes.Buffer
			var refused []Reason
			bot := NewRouter()
			bot.Use(func(*Context) error { t.Error("the handler was called"); return nil })
			e := mustEndpoint(t, EndpointConfig{
				Verifier: newVerifier(t, config), Router: bot, Logger: slog.New(slog.NewTextHandler(&out, nil)),
				Refused: func(err *Error) { refused = append(refused, err.Reason) },
			})
			defer mustShutdown(t, e)
			recorder := httptest.NewRecorder()
			cost := allocated(func() { e.ServeHTTP(recorder, test.request) })
			code, body := http.StatusForbidden, "wrong"
			if strings.HasSuffix(name, ", encrypted") { // WeChat's, and the same the next time
				code, body = http.StatusOK, "success"
			}
			if recorder.Code != code || recorder.Body.String() != body {
				t.Errorf("answered %d %s", recorder.Code, recorder.Body)
			}
			if len(refused) != 1 || refused[0] != test.reason {
				t.Errorf("refused because of %v, want %s", refused, test.reason)
			}
			if strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), "level=WARN") || !strings.Contains(out.String(), "reason="+string(test.reason)) ||
				strings.Contains(out.String(), testToken) || strings.Contains(out.String(), testKey) || strings.Contains(out.String(), "contents") {
				t.Errorf("the log is %s", &out)
			}
			if cost > 2<<20 && !race.Enabled { // which needs memory of its own
				t.Errorf("the refusal cost %d bytes", cost)
			}
		})
	}
}

// TestEndpointReused: another body under a signature that was used, in this
// process or in another one, reaches no handler.
func TestEndpointReused(t *testing.T) {
	store := memory.New()
	bot := NewRouter()
	var handled []string
	bot.Default(func(c *Context) error { handled = append(handled, c.Message.Content); return nil })
	one := mustEndpoint(t, EndpointConfig{Verifier: newVerifier(t, plainConfig()), Router: bot, Once: store})
	defer mustShutdown(t, one)
	other := mustEndpoint(t, EndpointConfig{Verifier: newVerifier(t, plainConfig()), Router: bot, Once: store})
	defer mustShutdown(t, other)
	first := sentAs(t, false, textPush(1, "first"))
	for i, test := range []struct {
		e       *Endpoint
		content string
		code    int
	}{{one, "first", 200}, {other, "forged", 403}, {one, "forged", 403}, {other, "first", 200}, {one, "first", 200}} {
		r := httptest.NewRequest(http.MethodPost, first.URL.String(), strings.NewReader(textPush(1, test.content)))
		recorder := httptest.NewRecorder()
		test.e.ServeHTTP(recorder, r)
		if recorder.Code != test.code {
			t.Errorf("request %d: %d, want %d", i, recorder.Code, test.code)
		}
	}
	if fmt.Sprint(handled) != "[first]" {
		t.Errorf("handled %v", handled)
	}
}

// TestInTime has handlers of all lengths, on one process and on three that share
// a store: each runs once, and the follower hears from it once.
func TestInTime(t *testing.T) {
	for name, processes := range map[string]int{"one process, no store": 0, "one process": 1, "three processes": 3} {
		for _, test := range []struct {
			takes    time.Duration
			delivery int // that is answered
			late     bool
		}{
			{0, 1, false},
			{4900 * time.Millisecond, 1, false},
			{5100 * time.Millisecond, 2, false},
			{7 * time.Second, 2, false},
			{9900 * time.Millisecond, 2, false},
			{12 * time.Second, 3, false},
			{14400 * time.Millisecond, 3, false},
			{14600 * time.Millisecond, 3, true},
			{20 * time.Second, 3, true},
			{time.Minute, 3, true},
		} {
			t.Run(fmt.Sprint(name, ", ", test.takes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store, sender := memory.New(), new(messages)
					var runs atomic.Int32
					bot := NewRouter()
					bot.Default(func(c *Context) error {
						runs.Add(1)
						time.Sleep(test.takes)
						if c.Err() != nil {
							t.Errorf("the handler's Context ended: %v", context.Cause(c))
						}
						if c.Late() != test.late && processes < 2 {
							t.Errorf("Late is %t", c.Late())
						}
						return c.ReplyText("done")
					})
					var endpoints []http.Handler
					for range max(processes, 1) {
						config := EndpointConfig{Router: bot, Sender: sender}
						if processes > 0 {
							config.Once = store
						}
						e := mustEndpoint(t, config)
						defer mustShutdown(t, e)
						endpoints = append(endpoints, e)
					}
					content, delivery := wechat(t, true, textPush(1, "work"), endpoints...)
					time.Sleep(2 * time.Minute)
					synctest.Wait()
					want, sent := "done", ""
					if test.late {
						want, sent = "", "done"
					}
					if content != want || delivery != test.delivery || runs.Load() != 1 || sender.String() != sent {
						t.Errorf("delivery %d is answered with %q, %d runs, sent %q; want delivery %d and %q, 1 run, sent %q",
							delivery, content, runs.Load(), sender, test.delivery, want, sent)
					}
				})
			})
		}
	}
}
