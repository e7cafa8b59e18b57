package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

const (
	tokenAppID  = "wx0123456789abcdef"
	tokenSecret = "0123456789abcdef0123456789abcdef"
)

// shop is a simulated WeChat and the environment of a program that uses it.
type shop struct {
	*simtest.Sim

	t        *testing.T
	database string
	env      map[string]string
}

func newShop(t *testing.T, api string) *shop {
	t.Helper()
	s := &shop{
		Sim:      simtest.New(t, simulator.Options{Accounts: []simulator.Account{{AppID: tokenAppID, Secret: tokenSecret}}}),
		t:        t,
		database: filepath.Join(t.TempDir(), "zhongkong.db"),
	}
	s.env = map[string]string{
		"WECHAT_APPID": tokenAppID, "WECHAT_APPSECRET": tokenSecret, "WECHAT_TOKEN_API": api,
		"WECHAT_API_BASE": s.URL, "ZHONGKONG_STORE": "sqlite:" + s.database,
	}
	return s
}

// run runs "zhongkong token …" and wants an exit code. Only get may show a token,
// and nothing the AppSecret.
func (s *shop) run(args string, want int) (out, errs string) {
	s.t.Helper()
	code, out, errs := started(s.t.Context(), s.env, append([]string{"token"}, strings.Fields(args)...)...)
	if code != want {
		s.t.Errorf("token %s: exit code %d, want %d\n%s%s", args, code, want, out, errs)
	}
	if (want == exitOK) != (errs == "") {
		s.t.Errorf("token %s: exit code %d, on standard error %q", args, code, errs)
	}
	shown := errs
	if !strings.HasPrefix(args, "get") {
		shown += out
	}
	for _, pool := range []simulator.Pool{simulator.Stable, simulator.Classic} {
		if token := s.Latest(tokenAppID, pool); token != "" && strings.Contains(shown, token) {
			s.t.Errorf("token %s shows the token", args)
		}
	}
	if strings.Contains(out+errs, tokenSecret) || strings.Contains(out+errs, "\x1b") {
		s.t.Errorf("token %s shows the secret, or colours in a pipe\n%s%s", args, out, errs)
	}
	return out, errs
}

func (s *shop) mustSay(text string, parts ...string) {
	s.t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			s.t.Errorf("no %q in\n%s", part, text)
		}
	}
}

func TestTokenGet(t *testing.T) {
	t.Parallel()
	for api, pool := range map[string]simulator.Pool{"stable": simulator.Stable, "classic": simulator.Classic} {
		s := newShop(t, api)
		for range 3 {
			if out, _ := s.run("get", exitOK); out != s.Latest(tokenAppID, pool)+"\n" || !s.Accepts(strings.TrimSpace(out)) {
				t.Errorf("%s: printed %q", api, out)
			}
		}
		if n := s.Stats(tokenAppID); n.Stable.Calls+n.Classic.Calls != 1 {
			t.Errorf("%s: %+v, want one fetch for three times", api, n)
		}
	}
}

// TestTokenGetFails says what to do, and the store keeps repetitions from WeChat.
func TestTokenGetFails(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	s.env["WECHAT_APPSECRET"] = "fedcba9876543210fedcba9876543210"
	for range 2 {
		out, errs := s.run("get", exitFailed)
		s.mustSay(
			errs,
			"zhongkong: access_token of "+tokenAppID,
			"errcode 40125",
			"Configure the present AppSecret",
			"next attempt in",
			"\nzhongkong explain 40125 says more",
		)
		if out != "" || strings.Contains(errs, "fedcba") {
			t.Errorf("printed %q, %s", out, errs)
		}
	}
	if n := s.Stats(tokenAppID).Stable.Calls; n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
	out, errs := s.run("status", exitFailed)
	s.mustSay(out, "✗ access_token/stable/"+tokenAppID, "none was stored", "release  WeChat refuses", "in "+s.database)
	s.mustSay(errs, "no token lives, and the last attempt, ", "errcode 40125")

	s.env["WECHAT_APPSECRET"] = tokenSecret // corrected: tried at once
	s.run("get", exitOK)

	s = newShop(t, "stable")
	s.Delay(simulator.Fetches, time.Hour)
	out, errs = s.run("get --wait 100ms", exitFailed)
	s.mustSay(errs, "no token in time", "--wait waits longer")
	if out != "" {
		t.Errorf("printed %q", out)
	}
}

func TestTokenStatus(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	out, errs := s.run("status", exitFailed)
	s.mustSay(errs, "there is no database "+s.database, "run this in its working directory")
	if _, err := os.Stat(s.database); err == nil || out != "" {
		t.Errorf("a look made the database, or %q was printed", out)
	}
	s.run("get", exitOK)
	out, _ = s.run("status", exitOK)
	s.mustSay(out, "✓ access_token/stable/"+tokenAppID+"@127.0.0.1:", "lives for 2h of 2h, until 20", "in the clear", "in "+s.database,
		"begin    there was no token", "save     there was no token")
	if out, _ = s.run("status --lines 0", exitOK); strings.Contains(out, "begin") {
		t.Errorf("--lines 0: %s", out)
	}
	if n := s.Stats(tokenAppID); n.Stable.Calls != 1 || n.APICalls != 0 {
		t.Errorf("%+v: a look called WeChat", n)
	}

	s.env["WECHAT_APPID"] = "wxfedcba9876543210"
	_, errs = s.run("status", exitFailed)
	s.mustSay(errs, "no token lives: a program on this store fetches one when it starts")
}

// TestTokenSealed with a key that this environment has not.
func TestTokenSealed(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	s.env["ZHONGKONG_SEAL_KEY"] = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	s.run("get", exitOK)
	out, _ := s.run("status", exitOK)
	s.mustSay(out, "sealed with key ")
	s.env["ZHONGKONG_SEAL_KEY"] = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
	for _, key := range []string{s.env["ZHONGKONG_SEAL_KEY"], ""} {
		s.env["ZHONGKONG_SEAL_KEY"] = key
		out, errs := s.run("status", exitFailed)
		s.mustSay(out, "✗ access_token/stable/", "lives for 2h", "this process cannot open it")
		s.mustSay(errs, "a token lives, and a program with this environment cannot open it: it was sealed with key ", "once in 10 minutes")
	}
	if n := s.Stats(tokenAppID).Stable.Calls; n != 1 {
		t.Errorf("%d fetches: a look fetched", n)
	}
	s.env["ZHONGKONG_SEAL_KEY"] = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
	s.run("get", exitOK) // renewed, at most once in ten minutes
	s.env["ZHONGKONG_SEAL_KEY"] = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	_, errs := s.run("get", exitFailed)
	s.mustSay(errs, "the stored token was not sealed with a key of this process")
}

// TestTokenRefresh throws no living token away that nobody says leaked.
func TestTokenRefresh(t *testing.T) {
	t.Parallel()
	for api, pool := range map[string]simulator.Pool{"stable": simulator.Stable, "classic": simulator.Classic} {
		s := newShop(t, api)
		issued := func() int {
			n := s.Stats(tokenAppID)
			return n.Stable.Issued + n.Classic.Issued
		}
		out, _ := s.run("refresh", exitOK)
		s.mustSay(out, "✓ There was no token; the new one lives for 2h.")
		first := s.Latest(tokenAppID, pool)
		out, _ = s.run("refresh", exitOK)
		s.mustSay(out, "✓ The token lives for 2h more: nothing was fetched.", "zhongkong token refresh --force")
		if issued() != 1 {
			t.Errorf("%s: %d tokens issued, want 1", api, issued())
		}
		out, _ = s.run("refresh --force", exitOK)
		s.mustSay(out, "✓ A new token lives for 2h.", "up to 5 minutes")
		second := s.Latest(tokenAppID, pool)
		if got, _ := s.run("get", exitOK); second == first || got != second+"\n" || issued() != 2 {
			t.Errorf("%s: %d tokens issued; the forced one is not handed out", api, issued())
		}
		if api == "classic" {
			continue
		}
		out, errs := s.run("refresh --force", exitFailed)
		s.mustSay(errs, "are at least 30 s apart", "18 a day", "Try again in ")
		if got, _ := s.run("get", exitOK); out != "" || got != second+"\n" || issued() != 2 {
			t.Errorf("%s: a second force within 30 s: %q, %d tokens issued", api, out, issued())
		}
	}
}

// TestTicketRefresh: a ticket that a page finds invalid is renewed; one that WeChat gives
// again is the valid one.
func TestTicketRefresh(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	out, _ := s.run("refresh --ticket jsapi", exitOK)
	s.mustSay(out, "✓ There was no jsapi ticket; the new one lives for 2h.")
	out, _ = s.run("refresh --ticket jsapi", exitOK)
	s.mustSay(out, "✓ The jsapi ticket lives for 2h more: nothing was fetched.", "zhongkong token refresh --ticket jsapi --force")
	_, errs := s.run("refresh --ticket jsapi --force", exitFailed)
	s.mustSay(errs, "WeChat gives the same jsapi ticket again", "JS接口安全域名")

	s = newShop(t, "stable")
	s.run("refresh --ticket jsapi", exitOK)
	first, _ := s.Ticket(tokenAppID, simulator.JSAPI)
	s.KillTicket(tokenAppID, simulator.JSAPI)
	out, _ = s.run("refresh --ticket jsapi --force", exitOK)
	s.mustSay(out, "✓ A new jsapi ticket lives for 2h.", "client.RejectTicket")
	second, _ := s.Ticket(tokenAppID, simulator.JSAPI)
	if second == "" || second == first || strings.Contains(out, second) || s.Stats(tokenAppID).Stable.Issued != 1 {
		t.Errorf("the ticket was not renewed, or is shown, or the token was: %s", out)
	}
	out, _ = s.run("status", exitOK)
	s.mustSay(out, "✓ jsapi_ticket/"+tokenAppID)
	_, errs = s.run("refresh --ticket jsapi --wait 0s", exitMistake)
	s.mustSay(errs, "--wait 0s")
	_, errs = s.run("refresh --ticket wx", exitMistake)
	s.mustSay(errs, `--ticket "wx": it has to be jsapi or wx_card`)
}

// TestTokenTiming: how long a fetch may take is the environment's.
func TestTokenTiming(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	s.Delay(simulator.Fetches, time.Hour)
	s.env["ZHONGKONG_FETCH_TIMEOUT"] = "50ms"
	_, errs := s.run("get --wait 5s", exitFailed)
	s.mustSay(errs, "no answer to /cgi-bin/stable_token")
}

// TestTokenMistakes: one line, exit code 2, and nothing is made or called.
func TestTokenMistakes(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ args, name, value, want string }{
		{"get", "WECHAT_APPID", "", "Config.AppID (WECHAT_APPID) is empty"},
		{"get", "WECHAT_APPSECRET", "", "(WECHAT_APPSECRET) is empty"},
		{"refresh", "WECHAT_TOKEN_API", "new", "(WECHAT_TOKEN_API) is"},
		{"get", "WECHAT_API_BASE", "ftp://x", "(WECHAT_API_BASE)"},
		{"get", "ZHONGKONG_STORE", "memory:", "ZHONGKONG_STORE is memory:, which other programs do not share"},
		{"get", "ZHONGKONG_STORE", "sqlite:", "ZHONGKONG_STORE: "},
		{"get", "ZHONGKONG_STORE", "zhongkong.db", "ZHONGKONG_STORE: "},
		{"status", "ZHONGKONG_STORE", "oracle://u:" + tokenSecret + "@localhost/x", "ZHONGKONG_STORE: "},
		{"get", "ZHONGKONG_SEAL_KEY", "short", "ZHONGKONG_SEAL_KEY"},
		{"get", "ZHONGKONG_FETCH_TIMEOUT", "8", `ZHONGKONG_FETCH_TIMEOUT is "8": it must be a positive duration`},
		{"status", "ZHONGKONG_LEASE_TTL", "0s", `ZHONGKONG_LEASE_TTL is "0s"`},
		{"get --wait 0s", "PORT", "1", "--wait 0s: it has to be positive"},
		{"refresh --wait=-1s", "PORT", "1", "--wait -1s: it has to be positive"},
		{"status --lines=-1", "PORT", "1", "--lines -1"},
		{"", "PORT", "1", "expected one of"},
		{"show", "PORT", "1", "unexpected argument show"},
	} {
		s := newShop(t, "stable")
		s.env[row.name] = row.value
		out, errs := s.run(row.args, exitMistake)
		if out != "" || !strings.Contains(errs, row.want) || strings.Count(errs, "\n") != 1 || strings.HasPrefix(errs, "zhongkong: wechat:") {
			t.Errorf("token %s with %s=%s: %s%s, want %q", row.args, row.name, row.value, out, errs, row.want)
		}
		if _, err := os.Stat(s.database); err == nil || s.Stats(tokenAppID).Stable.Calls != 0 {
			t.Errorf("token %s with %s=%s: a mistake made a database or called WeChat", row.args, row.name, row.value)
		}
	}
}

// TestTokenStoreAway: its server does not answer, which is said without the
// password.
func TestTokenStoreAway(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	s.env["ZHONGKONG_STORE"] = "postgres://user:made-up-pa55word@127.0.0.1:1/name"
	for args, says := range map[string]string{
		"status": "the store cannot be read: ", "get --wait 100ms": "the store does not answer", "refresh --wait 100ms": "the store does not answer",
	} {
		out, errs := s.run(args, exitFailed)
		s.mustSay(errs, says)
		if strings.Contains(out+errs, "pa55word") {
			t.Errorf("%s shows the password: %s%s", args, out, errs)
		}
	}
}

// TestTokenSaysWhatItWaitsFor: a store that is unavailable is named while get waits for it.
func TestTokenSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	s.env["ZHONGKONG_STORE"] = "redis://127.0.0.1:1"
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"token", "get", "--wait", "3s"}, newTerminal(strings.NewReader(""), &out, &errs, func(name string) (string, bool) {
		value, found := s.env[name]
		return value, found
	}))
	if code != exitFailed || out.Len() > 0 {
		t.Errorf("exit code %d, printed %q", code, &out)
	}
	s.mustSay(errs.String(), "zhongkong: waiting for the store and a token: the Redis server 127.0.0.1:1 cannot be reached", "the store does not answer")
}

// TestTokenWaits for what passes by itself, as long as --wait says.
func TestTokenWaits(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	s.Inject(simulator.Fault{Path: simulator.Fetches, Errcode: -1, Times: 1})
	if out, _ := s.run("get", exitOK); out != s.Latest(tokenAppID, simulator.Stable)+"\n" {
		t.Errorf("printed %q", out)
	}
	s = newShop(t, "stable")
	s.Inject(simulator.Fault{Path: simulator.Fetches, Errcode: -1})
	var errs string
	var took time.Duration
	patience.Attempts(t, "get --wait 3s", func() bool { // a busy machine may need longer for the first refusal
		begun := time.Now()
		_, errs = s.run("get --wait 3s", exitFailed)
		took = time.Since(begun)
		return strings.Contains(errs, "errcode -1") && took < 20*time.Second
	})
	s.mustSay(errs, "errcode -1", "zhongkong explain -1")
	if took >= 20*time.Second { // it would be 30 s without --wait
		t.Errorf("it took %s to give up", took)
	}
}

// TestTokenColours are for terminals.
func TestTokenColours(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	s.run("get", exitOK)
	for _, coloured := range []bool{true, false} {
		var out, errs bytes.Buffer
		term := newTerminal(strings.NewReader(""), &out, &errs, func(name string) (string, bool) {
			value, found := s.env[name]
			return value, found
		})
		term.colour = coloured
		if code := run(t.Context(), []string{"token", "status"}, term); code != exitOK ||
			strings.Contains(out.String(), "\x1b[32m✓") != coloured {
			t.Errorf("%d\n%s%s", code, &out, &errs)
		}
		out.Reset()
		if run(t.Context(), []string{"token", "get"}, term); out.String() != s.Latest(tokenAppID, simulator.Stable)+"\n" {
			t.Errorf("get prints %q", &out)
		}
	}
}

// TestPlaceOf shows no password.
func TestPlaceOf(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"redis://u:" + tokenSecret + "@h:6379/2?x=" + tokenSecret: "redis://h:6379/2",
		"postgres://u:" + tokenSecret + "@h/name":                 "postgres://h/name",
		"mysql://u:" + tokenSecret + "@h:%zz/name":                "mysql",
		"sqlite:/a/../b.db":                                       "/b.db",
	} {
		if got, err := placeOf(address, false); err != nil || filepath.ToSlash(got) != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}

func TestLasting(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		2 * time.Hour: "2h", 112*time.Minute + 29*time.Second: "1h52m", 2*time.Hour - time.Second: "2h", 10 * time.Minute: "10m",
		270*time.Second + 400*time.Millisecond: "4m30s", 5 * time.Minute: "5m", 29 * time.Second: "29s", 0: "0s",
	} {
		if got := lasting(d); got != want {
			t.Errorf("%v: %s, want %s", int64(d), got, want)
		}
	}
}
