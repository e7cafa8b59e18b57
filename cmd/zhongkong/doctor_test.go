package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/cmd/zhongkong/internal/doctor"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

const (
	sealKey      = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	otherSealKey = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
)

// sqliteDriver is the name of the one that this program has, with or without cgo.
func sqliteDriver() string {
	if slices.Contains(sql.Drivers(), "sqlite3") {
		return "sqlite3"
	}
	return "sqlite"
}

// TestDoctorStores: what is wrong with a store is named, and left as it is.
func TestDoctorStores(t *testing.T) {
	t.Parallel()
	run := func(s *shop, statement string) {
		db, err := sql.Open(sqliteDriver(), s.database)
		if err == nil {
			_, err = db.ExecContext(s.t.Context(), statement)
			_ = db.Close()
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	write := func(s *shop, content string) {
		if err := os.WriteFile(s.database, []byte(content), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	for name, row := range map[string]illness{
		"missing":        {do: func(s *shop) { s.wipe() }, check: "store", cause: "store_missing", state: "warning", says: "run this in its working directory"},
		"no folder":      {do: func(s *shop) { s.env["ZHONGKONG_STORE"] = "sqlite:/nonexistent/folder/zhongkong.db" }, check: "store", cause: "store_folder_missing", says: "/nonexistent/folder"},
		"a folder":       {do: func(s *shop) { s.env["ZHONGKONG_STORE"] = "sqlite:" + filepath.Dir(s.database) }, check: "store", cause: "store_is_folder"},
		"a foreign file": {do: func(s *shop) { s.wipe(); write(s, strings.Repeat("no database\n", 100)) }, check: "store", cause: "store_foreign"},
		"damaged": {do: func(s *shop) {
			s.wipe()
			write(s, "SQLite format 3\x00"+strings.Repeat("\xff\x00damaged", 2000))
		}, check: "store", cause: "store_damaged", says: "sets the damaged file aside"},
		"newer":        {do: func(s *shop) { run(s, `INSERT INTO zhongkong_schema (version_id, is_applied) VALUES (99, true)`) }, check: "store", cause: "store_newer", says: "99"},
		"not migrated": {do: func(s *shop) { run(s, `DELETE FROM zhongkong_schema WHERE version_id > 1`) }, check: "store", cause: "store_not_migrated", says: "zhongkong migrate up"},
		"empty":        {do: func(s *shop) { s.wipe(); write(s, "") }, check: "store", cause: "store_empty", state: "warning", says: "has no tables yet"},
		"locked": {do: func(s *shop) {
			db, err := sql.Open(sqliteDriver(), "file:"+s.database+"?_txlock=exclusive")
			if err != nil {
				s.t.Fatal(err)
			}
			tx, err := db.BeginTx(s.t.Context(), nil)
			if err != nil {
				s.t.Fatal(err)
			}
			s.t.Cleanup(func() { _ = tx.Rollback(); _ = db.Close() })
		}, check: "store", cause: "store_locked", says: "is locked by another program"},
		"unreachable":      {do: func(s *shop) { s.env["ZHONGKONG_STORE"] = "redis://user:made-up-pa55word@127.0.0.1:1/0" }, check: "store", cause: "store_unreachable", says: "redis://127.0.0.1:1/0"},
		"unreachable, SQL": {do: func(s *shop) { s.env["ZHONGKONG_STORE"] = "postgres://user:made-up-pa55word@127.0.0.1:1/name" }, check: "store", cause: "store_unreachable"},
		"no store":         {do: func(s *shop) { s.env["ZHONGKONG_STORE"] = "oracle://user:made-up-pa55word@h/name" }, check: "store", cause: "store_misconfigured", says: "begin it with sqlite:"},
		"memory":           {do: func(s *shop) { s.env["ZHONGKONG_STORE"] = "memory:" }},
		"another key":      {do: func(s *shop) { s.env["ZHONGKONG_SEAL_KEY"] = otherSealKey }, check: "token", cause: "wrong_seal_key", says: "ZHONGKONG_SEAL_KEY"},
		"no key":           {do: func(s *shop) { delete(s.env, "ZHONGKONG_SEAL_KEY") }, check: "token", cause: "wrong_seal_key", says: "this process has none"},
		"two keys":         {do: func(s *shop) { s.env["ZHONGKONG_SEAL_KEY"] = otherSealKey + "," + sealKey }},
		"readable":         {do: func(s *shop) { chmod(s.t, s.database, 0o644) }, check: "files", cause: "readable_by_others", state: "warning", says: "chmod 600 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, "stable")
			s.env["ZHONGKONG_SEAL_KEY"] = sealKey
			s.run("get", exitOK)
			row.do(s)
			folder := filepath.Dir(s.database)
			names := func() string {
				entries, err := os.ReadDir(folder)
				if err != nil {
					t.Fatal(err)
				}
				return fmt.Sprint(entries)
			}
			content, _ := os.ReadFile(s.database)
			before := names()
			d := s.examine("--wait 60s", "made-up-pa55word", sealKey, otherSealKey)
			d.wants(t, row)
			after, _ := os.ReadFile(s.database)
			if row.check == "store" && (names() != before || !bytes.Equal(content, after)) {
				t.Errorf("the store was changed: %s, before %s", names(), before)
			}
			if n := s.Stats(tokenAppID); n.Stable.Issued != 1 {
				t.Errorf("%+v: tokens were issued", n)
			}
		})
	}
}

// wipe removes the database and what belongs to it.
func (s *shop) wipe() {
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		_ = os.Remove(s.database + suffix)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestDoctorToken: what the store tells of the past.
func TestDoctorToken(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	s.env["WECHAT_APPSECRET"] = "fedcba9876543210fedcba9876543210"
	s.run("get", exitFailed)
	s.examine("").wants(t, illness{check: "credentials", cause: "wrong_secret", errcode: 40125, says: "AppSecret"})
	s.env["WECHAT_APPSECRET"] = tokenSecret
	s.examine("").wants(t, illness{check: "token", cause: "last_fetch_failed", says: "errcode 40125"})
	s.examine("--fetch").wants(t, illness{})
	if n := s.Stats(tokenAppID); n.Stable.Issued != 1 {
		t.Errorf("%+v", n)
	}

	s = newShop(t, "classic")
	s.env["WECHAT_APPSECRET"] = "fedcba9876543210fedcba9876543210"
	s.run("get", exitFailed)
	s.env["WECHAT_APPSECRET"] = tokenSecret
	for range 2 {
		s.examine("").wants(t, illness{check: "token", cause: "last_fetch_failed"})
	}
	if n := s.Stats(tokenAppID); n.Classic.Issued != 0 {
		t.Errorf("a token was fetched unasked: %+v", n)
	}
	for range 2 {
		s.examine("--fetch").wants(t, illness{})
	}
	if n := s.Stats(tokenAppID); n.Classic.Issued != 1 {
		t.Errorf("%+v, want one fetch in four runs with --fetch", n)
	}
	for range 3 {
		s.run("refresh --force", exitOK)
	}
	s.examine("").wants(t, illness{check: "token", cause: "tokens_die_young", state: "warning", says: "3 times"})
}

// TestDoctorReach: of the ways in which an address cannot be reached, the step is
// named.
func TestDoctorReach(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	t.Cleanup(tls.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for name, row := range map[string]struct{ base, cause string }{
		"no name":          {"http://zhongkong.invalid", "dns_failed"},
		"nobody":           {"http://127.0.0.1:1", "connect_failed"},
		"somebody else":    {plain.URL, "not_wechat"},
		"no TLS":           {strings.Replace(plain.URL, "http:", "https:", 1), "tls_failed"},
		"a strange issuer": {tls.URL, "certificate_untrusted"},
		"silence":          {"http://" + silent.Addr().String(), "no_answer"},
		"silence in TLS":   {"https://" + silent.Addr().String(), "tls_failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, "stable")
			s.env["WECHAT_API_BASE"] = row.base
			s.env["ZHONGKONG_STORE"] = "memory:"
			wait := "60s"
			if strings.HasPrefix(name, "silence") { // which is waited for in full
				wait = "3s"
			}
			d := s.examine("--wait " + wait)
			d.wants(t, illness{check: "wechat", cause: row.cause})
			for _, c := range d.Checks {
				if (c.Check == "credentials" || c.Check == "whitelist" || c.Check == "clock" || c.Check == "token") && c.State != "skipped" {
					t.Errorf("%+v, though nothing was reached", c)
				}
			}
		})
	}
}

// TestDoctorCallbackFaults: what is wrong with a callback address.
func TestDoctorCallbackFaults(t *testing.T) {
	t.Parallel()
	token, aesKey, appid := account["WECHAT_TOKEN"], account["WECHAT_AES_KEY"], account["WECHAT_APPID"]
	answer := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
	// echoing verifies, and answers pushes with body.
	echoing := func(body string, check bool) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			switch {
			case check && q.Get("signature") != callback.Signature(token, q.Get("timestamp"), q.Get("nonce")):
				w.WriteHeader(http.StatusForbidden)
			case r.Method == http.MethodGet:
				_, _ = w.Write([]byte(q.Get("echostr")))
			default:
				_, _ = w.Write([]byte(body))
			}
		})
	}
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	cut := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for name, row := range map[string]struct {
		app        http.Handler
		cause      string
		env, value string
	}{
		"well":              {app: botApp(t, token, aesKey, appid)},
		"well, plain":       {app: botApp(t, token, "", appid), env: "WECHAT_AES_KEY"},
		"well, compatible":  {app: botApp(t, token, aesKey, appid), env: "WECHAT_MODE", value: "compatible"},
		"another Token":     {app: botApp(t, "Another", aesKey, appid), cause: "callback_wrong_token"},
		"another AES key":   {app: botApp(t, token, strings.Repeat("B", 43), appid), cause: "callback_wrong_aes_key"},
		"another appid":     {app: botApp(t, token, aesKey, "wxfedcba9876543210"), cause: "callback_wrong_aes_key"},
		"an AES key":        {app: botApp(t, token, aesKey, appid), env: "WECHAT_AES_KEY", cause: "callback_wants_encryption"},
		"a page":            {app: answer(200, "<!DOCTYPE html><title>Welcome</title>"), cause: "callback_html"},
		"a login page":      {app: answer(403, "<html>login"), cause: "callback_html"},
		"no page":           {app: answer(404, ""), cause: "callback_no_route"},
		"a redirect":        {app: answer(302, ""), cause: "callback_redirect"},
		"a failure":         {app: answer(502, "<html>Bad Gateway"), cause: "callback_app_fails"},
		"too slow":          {app: hang, cause: "callback_timeout"},
		"cut":               {app: cut, cause: "callback_cut"},
		"quotes":            {app: answer(200, `"1234567890123456789"`), cause: "callback_wrong_echo"},
		"a wrong reply":     {app: echoing("ok", true), cause: "callback_wrong_reply"},
		"takes everything":  {app: echoing("success", false), cause: "callback_accepts_forgeries"},
		"no such Token":     {app: hang, env: "WECHAT_TOKEN", value: "not!one", cause: "callback_not_testable"},
		"no Token":          {app: hang, env: "WECHAT_TOKEN", cause: "callback_not_testable"},
		"no such URL":       {cause: "callback_not_testable"},
		"nobody is at home": {cause: "callback_unreachable"},
		"no such name":      {cause: "callback_unreachable"},
		"no certificate":    {app: botApp(t, token, aesKey, appid), cause: "callback_certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, "stable")
			for _, name := range []string{"WECHAT_TOKEN", "WECHAT_AES_KEY"} {
				s.env[name] = account[name]
			}
			s.env["ZHONGKONG_STORE"] = "memory:"
			switch {
			case row.env != "" && row.value != "":
				s.env[row.env] = row.value
			case row.env != "":
				delete(s.env, row.env)
			}
			address := "http://127.0.0.1:1/"
			switch {
			case row.app != nil:
				app := httptest.NewUnstartedServer(row.app)
				app.Config.ErrorLog = log.New(io.Discard, "", 0)
				if row.cause == "callback_certificate" {
					app.StartTLS()
				} else {
					app.Start()
				}
				t.Cleanup(func() { app.CloseClientConnections(); app.Close() })
				address = app.URL
			case name == "no such URL":
				address = "127.0.0.1:3100"
			case name == "no such name":
				address = "http://zhongkong.invalid/"
			}
			wait := "60s"
			switch row.cause {
			case "callback_timeout", "callback_wrong_aes_key", "callback_wants_encryption": // which are waited for, or sent three times
				wait = "2s"
			}
			d := s.examine("--wait "+wait+" --callback-url "+address, token, aesKey)
			if row.cause == "" {
				d.wants(t, illness{})
				return
			}
			d.wants(t, illness{check: "callback", cause: row.cause})
		})
	}
}

// TestDoctorViaGateway: a program that takes its token from a gateway.
func TestDoctorViaGateway(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	store := memory.New()
	t.Cleanup(func() { _ = store.Close() })
	clients := gateway.NewClients(store, "test")
	key, err := clients.Add(t.Context(), gateway.Client{Name: "shop", Accounts: []string{tokenAppID}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(t.Context(), gateway.Config{
		Accounts: []gateway.Account{{AppID: tokenAppID, Secret: custody.NewSecret(tokenSecret)}},
		Store:    store, SealKeys: []custody.Secret{custody.NewSecret(strings.Repeat("k", 32))}, APIBase: s.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g)
	t.Cleanup(func() { server.Close(); _ = g.Close() })
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for _, row := range []struct{ gateway, key, appid, cause string }{
		{server.URL, key.Reveal(), tokenAppID, ""},
		{server.URL, "zkkey_made-up-and-wrong-0123456789abcdef", tokenAppID, "wrong_key"},
		{server.URL, key.Reveal(), "wxfedcba9876543210", "account_not_allowed"},
		{plain.URL, key.Reveal(), tokenAppID, "not_a_gateway"},
		{"http://127.0.0.1:1", key.Reveal(), tokenAppID, "connect_failed"},
	} {
		s.env = map[string]string{"ZHONGKONG_GATEWAY": row.gateway, "ZHONGKONG_GATEWAY_KEY": row.key, "WECHAT_APPID": row.appid}
		want := illness{}
		if row.cause != "" {
			want = illness{check: "gateway", cause: row.cause}
			switch row.cause {
			case "wrong_key":
				want.errcode = 40125
			case "account_not_allowed":
				want.errcode = 40013
			}
		}
		s.env["WECHAT_APPSECRET"] = row.key // a secret that examine looks for
		s.examine("--wait 60s").wants(t, want)
	}
	delete(s.env, "ZHONGKONG_GATEWAY_KEY")
	code, out, errs := started(t.Context(), s.env, "doctor")
	if code != exitMistake || errs != "" || !strings.Contains(out, "✗ configuration") ||
		!strings.Contains(out, "ZHONGKONG_GATEWAY_KEY is not") {
		t.Errorf("%d %s%s", code, out, errs)
	}
}

// TestDoctorMistakes: a configuration that cannot be understood is a finding, and
// exit code 2.
func TestDoctorMistakes(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ args, name, value, want string }{
		{"", "WECHAT_APPID", "", "(WECHAT_APPID) is empty"},
		{"", "WECHAT_APPSECRET", "", "(WECHAT_APPSECRET) is empty"},
		{"", "WECHAT_API_BASE", "ftp://x", "(WECHAT_API_BASE)"},
		{"", "ZHONGKONG_SEAL_KEY", "short", "ZHONGKONG_SEAL_KEY"},
		{"--account wxfedcba9876543210", "PORT", "1", "has no such account"},
		{"--config /nonexistent/gateway.yaml", "PORT", "1", "cannot be read"},
	} {
		s := newShop(t, "stable")
		s.env[row.name] = row.value
		code, out, errs := started(t.Context(), s.env, append([]string{"doctor"}, strings.Fields(row.args)...)...)
		if code != exitMistake || errs != "" || !strings.Contains(out, row.want) || !strings.Contains(out, "1 problem") {
			t.Errorf("doctor %s with %s=%s: %d %s%s, want %q", row.args, row.name, row.value, code, out, errs, row.want)
		}
		code, out, _ = started(t.Context(), s.env, append([]string{"doctor", "--json"}, strings.Fields(row.args)...)...)
		if code != exitMistake || !strings.Contains(out, `"cause": "unreadable"`) || !strings.Contains(out, `"ok": false`) {
			t.Errorf("doctor --json %s: %d %s", row.args, code, out)
		}
		if s.Stats("").APICalls != 0 {
			t.Errorf("doctor %s called WeChat", row.args)
		}
	}
	for _, args := range []string{"--wait 0s", "--lang fr", "--no-such-flag"} {
		code, out, errs := started(t.Context(), nil, append([]string{"doctor"}, strings.Fields(args)...)...)
		if code != exitMistake || out != "" || errs == "" {
			t.Errorf("doctor %s: %d %s%s", args, code, out, errs)
		}
	}
}

// TestDoctorLooks: colours and wrapped lines on a terminal alone, and the language
// of the environment or of --lang.
// TestDoctorLineWidth: what a check found and how long it took fit into a terminal, however
// long the one is.
func TestDoctorLineWidth(t *testing.T) {
	t.Parallel()
	for length := range 3 * columns {
		var out bytes.Buffer
		term := newTerminal(strings.NewReader(""), &out, &out, func(string) (string, bool) { return "", false })
		term.colour = true
		text := strings.Repeat("a", length)
		(&chart{t: term}).line(doctor.Finding{State: doctor.OK, Check: "store", Found: doctor.Text{EN: text}, Took: 1234 * time.Millisecond})
		plain := noColours.Replace(out.String())
		for line := range strings.Lines(plain) {
			if width(strings.TrimRight(line, "\n")) > columns {
				t.Errorf("%d characters: %q is wider than %d columns", length, line, columns)
			}
		}
		if strings.Count(plain, "a") != length || !strings.HasSuffix(plain, "(1.23s)\n") {
			t.Errorf("%d characters: %q", length, plain)
		}
	}
}

func TestDoctorLooks(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	s.run("get", exitOK)
	s.SetWhitelist(tokenAppID, "192.0.2.1")
	for _, row := range []struct {
		args, lang string
		coloured   bool
		want       []string
	}{
		{"", "en_US.UTF-8", false, []string{"\n✗ whitelist     127.0.0.1 is not in the IP whitelist", "\nWhat to do\n 1. Add 127.0.0.1 to the whitelist: ", "\n1 problem. Run it again"}},
		{"", "zh_CN.UTF-8", false, []string{"\n✗ IP 白名单 127.0.0.1 不在 ", "\n请依次处理\n 1. 请把 127.0.0.1 加入白名单：", "\n1 个问题，处理之后"}},
		{"--lang en", "zh_CN.UTF-8", false, []string{"\nWhat to do\n"}},
		{"--lang zh", "C", true, []string{"\x1b[31m✗\x1b[0m \x1b[1mIP 白名单 \x1b[0m127.0.0.1 不在 ", "\x1b[1m请依次处理\x1b[0m\n"}},
		{"", "", true, []string{"\x1b[32m✓\x1b[0m clock         as WeChat's", "\x1b[2m–\x1b[0m \x1b[2mcredentials   \x1b[0m", "→ 基本配置 (or 微信开发者平台) →\n    IP白名单. "}},
	} {
		s.env["LANG"] = row.lang
		var out, errs bytes.Buffer
		term := newTerminal(
			strings.NewReader(""),
			&out,
			&errs,
			func(name string) (string, bool) { value, found := s.env[name]; return value, found },
		)
		term.colour = row.coloured
		code := run(t.Context(), append([]string{"doctor", "--wait", "60s"}, strings.Fields(row.args)...), term)
		if code != exitFailed || strings.Contains(out.String(), "\x1b") != row.coloured {
			t.Errorf("%d\n%s%s", code, &out, &errs)
		}
		for _, want := range row.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("doctor %s with LANG=%s: no %q in\n%s", row.args, row.lang, want, &out)
			}
		}
		for line := range strings.Lines(out.String()) {
			if row.coloured && width(strings.TrimSpace(noColours.Replace(line))) > columns {
				t.Errorf("a line is longer than a terminal: %s", line)
			}
		}
	}
	code, out, _ := started(t.Context(), nil, "doctor", "--help")
	if code != exitOK || !strings.Contains(out, "--callback-url") || !strings.Contains(out, "The exit code is 0") {
		t.Errorf("%d %s", code, out)
	}
}

var noColours = strings.NewReplacer("\x1b[0m", "", "\x1b[1m", "", "\x1b[2m", "", "\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "")

// TestDoctorGivesUp when it is told to.
func TestDoctorGivesUp(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	s.Inject(simulator.Fault{Delay: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	code, out, errs := started(ctx, s.env, "doctor", "--wait", "1h")
	if code != exitFailed || !strings.Contains(errs, "given up") || strings.Contains(out, "What to do") {
		t.Errorf("%d %s%s", code, out, errs)
	}
}
