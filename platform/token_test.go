package platform

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

const goodAnswer = `{"access_token":"91_abc-DEF_123","expires_in":7200}`

func fetchFrom(tb testing.TB, api *API, tokenAPI TokenAPI) (custody.Grant, *custody.FetchError) {
	tb.Helper()
	grant, err := api.AccessToken(testAccount(), tokenAPI).Fetch(context.Background(), custody.Normal)
	if err == nil {
		return grant, nil
	}
	var failure *custody.FetchError
	if !errors.As(err, &failure) {
		tb.Fatalf("Fetch returned a %T, not a *FetchError: %v", err, err)
	}
	if !grant.Value.IsZero() || grant.ExpiresIn != 0 {
		tb.Errorf("Fetch returned a grant of %s beside %v", grant.ExpiresIn, err)
	}
	mustNotTell(tb, err)
	return grant, failure
}

func TestFetchAsksAsWeChatWants(t *testing.T) {
	type asked struct {
		Method, Path, Query, Type, Body string
		Length                          int64
		Chunked                         bool
	}
	var got asked
	api := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = asked{
			Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Type: r.Header.Get("Content-Type"),
			Body: string(body), Length: r.ContentLength, Chunked: len(r.TransferEncoding) > 0,
		}
		_, _ = io.WriteString(w, goodAnswer)
	})
	stable := `{"grant_type":"client_credential","appid":"` + testAppID + `","secret":"` + testSecret + `"}`
	forced := strings.TrimSuffix(stable, "}") + `,"force_refresh":true}`
	for _, tc := range []struct {
		api  TokenAPI
		mode custody.Mode
		want asked
	}{
		{"", custody.Normal, asked{Method: "POST", Path: "/cgi-bin/stable_token", Type: "application/json", Body: stable, Length: int64(len(stable))}},
		{Stable, custody.Normal, asked{Method: "POST", Path: "/cgi-bin/stable_token", Type: "application/json", Body: stable, Length: int64(len(stable))}},
		{Stable, custody.Forced, asked{Method: "POST", Path: "/cgi-bin/stable_token", Type: "application/json", Body: forced, Length: int64(len(forced))}},
		{Classic, custody.Normal, asked{Method: "GET", Path: "/cgi-bin/token", Query: "appid=" + testAppID + "&grant_type=client_credential&secret=" + testSecret}},
	} {
		grant, err := api.AccessToken(testAccount(), tc.api).Fetch(t.Context(), tc.mode)
		if err != nil || grant.Value.Reveal() != "91_abc-DEF_123" || grant.ExpiresIn != 2*time.Hour {
			t.Errorf("%q: %q for %s, %v", tc.api, grant.Value.Reveal(), grant.ExpiresIn, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%q: the request differs (-want +got):\n%s", tc.api, diff)
		}
	}
}

func TestAccessTokenDescribesItsKind(t *testing.T) {
	api := newAPI(t, Config{})
	for _, tc := range []struct {
		api                   TokenAPI
		daily                 int
		idempotent, forceable bool
	}{
		{"", 5000, true, true}, {Stable, 5000, true, true}, {Classic, 1800, false, false},
	} {
		kind := api.AccessToken(testAccount(), tc.api)
		if kind.DailyFetches != tc.daily || kind.Idempotent != tc.idempotent || kind.Forceable != tc.forceable || kind.Probe == nil {
			t.Errorf("%q: %+v", tc.api, kind)
		}
	}
}

func TestParseTokenAPI(t *testing.T) {
	for text, want := range map[string]TokenAPI{"": Stable, "stable": Stable, "classic": Classic} {
		if got, err := ParseTokenAPI(text); got != want || err != nil {
			t.Errorf("ParseTokenAPI(%q) = %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"Stable", "token", "stable "} {
		if got, err := ParseTokenAPI(text); got != "" || err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) {
			t.Errorf("ParseTokenAPI(%q) = %q, %v, want an error that quotes it", text, got, err)
		}
	}
}

func TestConfigurationThatCannotWorkIsNotSent(t *testing.T) {
	api := newAPI(t, Config{Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
		t.Error("a request was sent")
		return nil, io.EOF
	})})
	for _, tc := range []struct {
		account Account
		api     TokenAPI
		says    string
	}{
		{Account{Secret: custody.NewSecret(testSecret)}, Stable, "AppID is empty"},
		{Account{AppID: testAppID}, Classic, "AppSecret is empty"},
		{testAccount(), "other", `no token API "other"`},
		{Account{AppID: testAppID, Secret: custody.NewSecret("a\xff")}, Stable, "invalid UTF-8"},
	} {
		_, err := api.AccessToken(tc.account, tc.api).Fetch(t.Context(), custody.Normal)
		var failure *custody.FetchError
		if !errors.As(err, &failure) || failure.Class != custody.ClassFatal || failure.Unanswered || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%v, want a fatal failure that says %s", err, tc.says)
		}
	}
}

func TestCleanAnswers(t *testing.T) {
	long := strings.Repeat("a", 2048)
	for _, tc := range []struct {
		body, value string
		life        time.Duration
	}{
		{`{"access_token":"T","expires_in":1}`, "T", time.Second},
		{`{"expires_in":604800,"access_token":"T"}`, "T", 7 * 24 * time.Hour},
		{" \r\n{\"errcode\":0,\"errmsg\":\"ok\",\"access_token\":\"T\",\"expires_in\":7200}\n", "T", 2 * time.Hour},
		{`{"access_token":"` + long + `","expires_in":7200}`, long, 2 * time.Hour},
		{`{"access_token":"T\u0041","expires_in":7200,"other":{"errcode":40013}}`, "TA", 2 * time.Hour},
		{"{\"access_token\":\"!~\",\"expires_in\":7200,\"note\":\"a\x01b\x1f\"}", "!~", 2 * time.Hour},
	} {
		for _, contentType := range []string{"application/json; encoding=utf-8", "text/plain", "text/html; charset=gbk", ""} {
			grant, failure := fetchFrom(t, serve(t, says(200, contentType, tc.body)), Stable)
			if failure != nil || grant.Value.Reveal() != tc.value || grant.ExpiresIn != tc.life {
				t.Errorf("%s: %q for %s, %v", tc.body, grant.Value.Reveal(), grant.ExpiresIn, failure)
			}
		}
	}
}

// malformed are answers after which nobody knows what WeChat issued.
var malformed = []struct {
	name   string
	status int
	body   string
	reason string
}{
	{"empty", 200, "", "it is empty"},
	{"blank", 200, " \r\n\t", "it is empty"},
	{"html", 200, "<html><body>91_abc</body></html>", "it is HTML or XML"},
	{"gateway's error page", 502, "<html>502 Bad Gateway</html>", "it is HTML or XML"},
	{"text", 200, "token 91_abc", "it is not JSON from byte 1 on"},
	{"the token alone", 200, "91_abc", "something behind it"},
	{"form", 200, "access_token=91_abc&expires_in=7200", "it is not JSON from byte"},
	{"truncated", 200, `{"access_token":"91_abc","expires_in":72`, "breaks off"},
	{"truncated in the token", 200, `{"access_token":"91_a`, "breaks off"},
	{"truncated after the last value", 200, `{"access_token":"91_abc","expires_in":7200`, "breaks off"},
	{"more than one object", 200, goodAnswer + goodAnswer, "something behind it"},
	{"more behind the object", 200, goodAnswer + "x", "something behind it"},
	{"array", 200, `[]`, "not a JSON object"},
	{"array around it", 200, `[` + goodAnswer + `]`, "not a JSON object"},
	{"null", 200, `null`, "not a JSON object"},
	{"string", 200, `"91_abc"`, "not a JSON object"},
	{"number", 200, `40001`, "not a JSON object"},
	{"empty object", 200, `{}`, "no access_token"},
	{"success without a token", 200, `{"errcode":0,"errmsg":"ok"}`, "no access_token"},
	{"token in other case", 200, `{"Access_Token":"91_abc","expires_in":7200}`, "no access_token"},
	{"token inside", 200, `{"data":` + goodAnswer + `}`, "no access_token"},
	{"empty token", 200, `{"access_token":"","expires_in":7200}`, "access_token is empty"},
	{"null token", 200, `{"access_token":null,"expires_in":7200}`, "not a string"},
	{"number for a token", 200, `{"access_token":123,"expires_in":7200}`, "not a string"},
	{"object for a token", 200, `{"access_token":{"a":"91_abc"},"expires_in":7200}`, "not a string"},
	{"token with a space", 200, `{"access_token":"91_ abc","expires_in":7200}`, "printable ASCII"},
	{"token with a raw control character", 200, "{\"access_token\":\"91_\x01abc\",\"expires_in\":7200}", "printable ASCII"},
	{"token with an escaped line", 200, `{"access_token":"91_abc\n","expires_in":7200}`, "printable ASCII"},
	{"token with Chinese", 200, `{"access_token":"91_中","expires_in":7200}`, "printable ASCII"},
	{"token of 2,049 bytes", 200, `{"access_token":"` + strings.Repeat("a", 2049) + `","expires_in":7200}`, "2048 bytes"},
	{"no expires_in", 200, `{"access_token":"91_abc"}`, "no expires_in"},
	{"expires_in in other case", 200, `{"access_token":"91_abc","Expires_In":7200}`, "no expires_in"},
	{"expires_in 0", 200, `{"access_token":"91_abc","expires_in":0}`, "from 1 to 604800"},
	{"expires_in negative", 200, `{"access_token":"91_abc","expires_in":-7200}`, "from 1 to 604800"},
	{"expires_in of 7 days and a second", 200, `{"access_token":"91_abc","expires_in":604801}`, "from 1 to 604800"},
	{"expires_in 10^12", 200, `{"access_token":"91_abc","expires_in":1000000000000}`, "from 1 to 604800"},
	{"expires_in beyond int64", 200, `{"access_token":"91_abc","expires_in":10000000000000000000000}`, "from 1 to 604800"},
	{"expires_in a string", 200, `{"access_token":"91_abc","expires_in":"7200"}`, "from 1 to 604800"},
	{"expires_in a fraction", 200, `{"access_token":"91_abc","expires_in":7200.5}`, "from 1 to 604800"},
	{"expires_in with an exponent", 200, `{"access_token":"91_abc","expires_in":72e2}`, "from 1 to 604800"},
	{"expires_in null", 200, `{"access_token":"91_abc","expires_in":null}`, "from 1 to 604800"},
	{"expires_in true", 200, `{"access_token":"91_abc","expires_in":true}`, "from 1 to 604800"},
	{"errcode beside a token", 200, `{"errcode":40013,"errmsg":"invalid appid","access_token":"91_abc","expires_in":7200}`, "errcode 40013 next to its access_token"},
	{"errcode beside a null token", 200, `{"errcode":40013,"access_token":null}`, "errcode 40013 next to its access_token"},
	{"errcode a string", 200, `{"errcode":"40013","errmsg":"invalid appid"}`, "errcode is not a whole number"},
	{"errcode null", 200, `{"errcode":null,"access_token":"91_abc","expires_in":7200}`, "errcode is not a whole number"},
	{"errcode a fraction", 200, `{"errcode":0.5,"access_token":"91_abc","expires_in":7200}`, "errcode is not a whole number"},
	{"500 with a good body", 500, goodAnswer, "HTTP status is not 200"},
	{"201 with a good body", 201, goodAnswer, "HTTP status is not 200"},
	{"412 of a chunked request", 412, "", "it is empty"},
	{"64 KiB and a byte", 200, strings.Repeat(" ", 64<<10) + "{", "longer than 65536 bytes"},
	{"a megabyte of token", 200, `{"access_token":"` + strings.Repeat("a", 1<<20) + `","expires_in":7200}`, "longer than 65536 bytes"},
}

func TestMalformedAnswers(t *testing.T) {
	for _, tc := range malformed {
		t.Run(tc.name, func(t *testing.T) {
			for _, tokenAPI := range []TokenAPI{Stable, Classic} {
				_, failure := fetchFrom(t, serve(t, says(tc.status, "application/json", tc.body)), tokenAPI)
				if failure == nil || failure.Class != custody.ClassTransient || !failure.Unanswered || failure.Code != 0 || failure.PerHost {
					t.Fatalf("%+v, want transient and unanswered", failure)
				}
				var unusable *AnswerError
				if !errors.As(failure, &unusable) || unusable.Status != tc.status || unusable.AppID != testAppID || !strings.Contains(unusable.Reason, tc.reason) {
					t.Errorf("%v, want an AnswerError: %s", failure, tc.reason)
				}
				if text := failure.Error(); strings.Contains(text, "91_") || len(text) > 400 {
					t.Errorf("the error quotes the answer: %s", text)
				}
			}
		})
	}
}

// TestBrokenConnections talks to a server that is cut off at various points.
func TestBrokenConnections(t *testing.T) {
	for name, write := range map[string]string{
		"before the answer":  "",
		"in the status line": "HTTP/1.1 20",
		"in the header":      "HTTP/1.1 200 OK\r\nContent-Le",
		"in the body":        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + goodAnswer,
		"between chunks":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n37\r\n" + goodAnswer + "\r\n",
		"not HTTP":           "SSH-2.0-OpenSSH_9.6\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			api := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				conn, buffered, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = buffered.WriteString(write)
				_ = buffered.Flush()
				_ = conn.Close()
			})
			for _, tokenAPI := range []TokenAPI{Stable, Classic} {
				_, failure := fetchFrom(t, api, tokenAPI)
				var conn *ConnError
				if failure == nil || failure.Class != custody.ClassTransient || !failure.Unanswered || !errors.As(failure, &conn) || !conn.Sent {
					t.Errorf("%+v, want transient and unanswered", failure)
				}
			}
		})
	}
}

// TestNothingWasSent: what fails before a request can have left is no unknown
// outcome.
func TestNothingWasSent(t *testing.T) {
	strange := httptest.NewUnstartedServer(says(200, "", goodAnswer))
	strange.Config.ErrorLog = log.New(io.Discard, "", 0)
	strange.StartTLS() // with a certificate that nobody vouches for
	t.Cleanup(strange.Close)
	plain := httptest.NewServer(says(200, "", goodAnswer))
	t.Cleanup(plain.Close)
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var op *net.OpError
	var dns *net.DNSError
	for name, tc := range map[string]struct {
		cfg    Config
		target any
	}{
		"connection refused":     {Config{Base: "http://" + testserver.Refusing(t)}, &op},
		"unknown certificate":    {Config{Base: strange.URL}, &certificate},
		"no TLS there":           {Config{Base: "https" + strings.TrimPrefix(plain.URL, "http")}, &record},
		"foreign dialer refused": {Config{Transport: roundTripFunc(func(*http.Request) (*http.Response, error) { return nil, &net.OpError{Op: "dial", Err: io.EOF} })}, &op},
		"foreign resolver":       {Config{Transport: roundTripFunc(func(*http.Request) (*http.Response, error) { return nil, &net.DNSError{Name: "api"} })}, &dns},
	} {
		t.Run(name, func(t *testing.T) {
			_, failure := fetchFrom(t, newAPI(t, tc.cfg), Classic)
			if failure == nil || failure.Class != custody.ClassTransient || failure.Unanswered {
				t.Fatalf("%+v, want transient and answered", failure)
			}
			if !errors.As(failure, tc.target) {
				t.Errorf("%v does not hold a %T", failure, tc.target)
			}
		})
	}
}

// TestHandshakeTimeout: a server that accepts and says nothing has not got the
// request, for TLS comes first.
func TestHandshakeTimeout(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = newAPI(t, Config{Base: "https://" + listener.Addr().String()}).AccessToken(testAccount(), Classic).Fetch(ctx, custody.Normal)
	var failure *custody.FetchError
	if !errors.As(err, &failure) || failure.Unanswered || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want a deadline before anything was sent", err)
	}
	mustNotTell(t, err)
}

func TestEndedContextSendsNothing(t *testing.T) {
	api := newAPI(t, Config{Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
		t.Error("a request was sent")
		return nil, io.EOF
	})})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := api.AccessToken(testAccount(), Classic).Fetch(ctx, custody.Normal)
	var failure *custody.FetchError
	if !errors.As(err, &failure) || failure.Unanswered || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want a cancellation before anything was sent", err)
	}
}

// TestTimeouts: WeChat gets the request and never answers.
func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI(t, Config{Transport: roundTripFunc(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})})
		kind := api.AccessToken(testAccount(), Classic)
		for _, tc := range []struct {
			given, want time.Duration
		}{{8 * time.Second, 8 * time.Second}, {time.Hour, 30 * time.Second}} {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), tc.given)
			_, err := kind.Fetch(ctx, custody.Normal)
			cancel()
			var failure *custody.FetchError
			if !errors.As(err, &failure) || !failure.Unanswered || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want an unanswered deadline", err)
			}
			if took := time.Since(start); took != tc.want {
				t.Errorf("Fetch with %s took %s, want %s", tc.given, took, tc.want)
			}
			mustNotTell(t, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if verdict := kind.Probe(ctx, oldToken); verdict != custody.NoVerdict {
			t.Errorf("a probe without an answer says %v", verdict)
		}
	})
}

// TestNoRedirectCarriesTheSecret, whichever kind it is.
func TestNoRedirectCarriesTheSecret(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		foreign := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			t.Errorf("the redirect %d was followed", status)
		}))
		t.Cleanup(foreign.Close)
		for _, location := range []string{foreign.URL, "/cgi-bin/elsewhere", "http://a b/?secret=" + testSecret} {
			api := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/cgi-bin/elsewhere" {
					t.Errorf("the redirect %d was followed", status)
				}
				w.Header().Set("Location", location)
				w.WriteHeader(status)
			})
			for _, tokenAPI := range []TokenAPI{Stable, Classic} {
				if _, failure := fetchFrom(t, api, tokenAPI); failure == nil || !failure.Unanswered {
					t.Errorf("%d to %s: %+v, want unanswered", status, location, failure)
				}
			}
		}
	}
}

// TestFetchIsSentOnce: http.Transport repeats a GET on its own when a connection
// it kept breaks before the answer, and WeChat would issue two tokens.
func TestFetchIsSentOnce(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			// Answers the very first request, and breaks the connection in all others.
			reader := bufio.NewReader(conn)
			for {
				if _, err := http.ReadRequest(reader); err != nil || requests.Add(1) > 1 {
					break
				}
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(goodAnswer), goodAnswer)
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	api := newAPI(t, Config{Base: "http://" + listener.Addr().String(), Transport: &http.Transport{}})
	for i := range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := api.AccessToken(testAccount(), Classic).Fetch(ctx, custody.Normal)
		cancel()
		if got := int(requests.Load()); got != i+1 {
			t.Fatalf("%d requests arrived for %d fetches (the last: %v)", got, i+1, err)
		}
	}
}

func TestErrcodesOfTokenEndpoints(t *testing.T) {
	for _, info := range append(errcode.All(), errcode.Info{Code: 12345}) {
		want := errcode.AtTokenEndpoint(info.Code)
		message, err := json.Marshal(info.Text + " rid: 6aac005a-01bfdbee-79769285")
		if err != nil {
			t.Fatal(err)
		}
		body := fmt.Sprintf(`{"errcode":%d,"errmsg":%s}`, info.Code, message)
		// Status is no signal, and an errcode is an answer.
		for _, status := range []int{200, 400, 500} {
			for _, tokenAPI := range []TokenAPI{Stable, Classic} {
				api := newAPI(t, Config{Transport: roundTripFunc(func(req *http.Request) (*http.Response, error) {
					return response(req, status, body), nil
				})})
				_, failure := fetchFrom(t, api, tokenAPI)
				if failure == nil || failure.Unanswered || failure.Code != info.Code || failure.PerHost != want.PerHost || failure.RetryAfter != want.Retry {
					t.Fatalf("%d: %+v, want an answer with %+v", info.Code, failure, want)
				}
				if class := string(failure.Class); class != string(want.Class) && (class != "transient" || want.Class != errcode.Call) {
					t.Errorf("%d is %s here and %s in the table", info.Code, class, want.Class)
				}
				var refusal *Error
				if !errors.As(failure, &refusal) || refusal.RID != "6aac005a-01bfdbee-79769285" || refusal.AppID != testAppID || refusal.Info() != want {
					t.Errorf("%d: %+v", info.Code, refusal)
				}
			}
		}
	}
}

func TestWrongSecretIsNoRefusal(t *testing.T) {
	api := serve(t, says(200, "", `{"errcode":40001,"errmsg":"invalid credential, access_token is invalid or not latest rid: 6aac005a-01bfdbee-79769285"}`))
	_, failure := fetchFrom(t, api, Classic)
	if failure == nil || failure.Class != custody.ClassBlocked || failure.RetryAfter != 10*time.Minute || !strings.Contains(failure.Error(), "AppSecret is wrong") {
		t.Errorf("%+v: %v, want a wrong AppSecret, blocked for 10 minutes", failure, failure)
	}
}

func TestEmptyFieldsBesideAnErrcode(t *testing.T) {
	api := serve(t, says(200, "", `{"errcode":40013,"errmsg":"invalid corpid","access_token":"","expires_in":0}`))
	if _, failure := fetchFrom(t, api, Classic); failure == nil || failure.Code != 40013 || failure.Unanswered {
		t.Errorf("%+v, want errcode 40013", failure)
	}
}

func TestProbe(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		want   custody.Verdict
	}{
		{200, `{"ip_list":["101.226.62.77"]}`, custody.Accepted},
		{200, `{"errcode":0,"errmsg":"ok"}`, custody.Accepted},
		{200, "{\"ip_list\":[\"\x01\"]}", custody.Accepted},
		{200, `{"errcode":48001,"errmsg":"api unauthorized"}`, custody.Accepted},
		{200, `{"errcode":40164,"errmsg":"invalid ip 1.2.3.4, not in whitelist"}`, custody.Accepted},
		{200, `{"errcode":99999}`, custody.Accepted},
		{200, `{"errcode":40001,"errmsg":"invalid credential"}`, custody.Rejected},
		{200, `{"errcode":40014}`, custody.Rejected},
		{200, `{"errcode":42001}`, custody.Rejected},
		{500, `{"errcode":42001}`, custody.Rejected},
		{200, `{"errcode":-1,"errmsg":"system error"}`, custody.NoVerdict},
		{200, `{"errcode":45009}`, custody.NoVerdict},
		{200, `{"errcode":45011}`, custody.NoVerdict},
		{200, `{"errcode":41001}`, custody.NoVerdict},
		{200, `{"errcode":"40001"}`, custody.NoVerdict},
		{200, `{"inner":{"errcode":40001}}`, custody.Accepted},
		{500, `{"ip_list":["101.226.62.77"]}`, custody.NoVerdict},
		{502, `<html>`, custody.NoVerdict},
		{200, `<html>`, custody.NoVerdict},
		{200, ``, custody.NoVerdict},
		{200, `[]`, custody.NoVerdict},
		{200, `null`, custody.NoVerdict},
		{200, `{"ip_list":`, custody.NoVerdict},
		{302, ``, custody.NoVerdict},
		{200, strings.Repeat(" ", 64<<10) + "{}", custody.NoVerdict},
	} {
		api := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.URL.Path != probePath || r.URL.Query().Get("access_token") != oldToken {
				t.Errorf("the probe asks %s %s", r.Method, r.URL)
			}
			says(tc.status, "text/plain", tc.body)(w, r)
		})
		if got := api.AccessToken(testAccount(), Stable).Probe(t.Context(), oldToken); got != tc.want {
			t.Errorf("%d %.60s: %v, want %v", tc.status, tc.body, got, tc.want)
		}
	}
	refused := newAPI(t, Config{Base: "http://" + testserver.Refusing(t)}).AccessToken(testAccount(), Stable)
	if got := refused.Probe(t.Context(), oldToken); got != custody.NoVerdict {
		t.Errorf("without a connection: %v", got)
	}
	if got := refused.Probe(t.Context(), ""); got != custody.Rejected {
		t.Errorf("the empty token: %v", got)
	}
}
