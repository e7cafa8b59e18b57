package main

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/shapetest"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// configured writes a gateway's configuration with the shop's account, whose AppSecret is in
// a file, and another one, whose AppSecret is nowhere.
func (s *shop) configured(more string) (file string) {
	s.t.Helper()
	folder := filepath.Dir(s.database)
	file = filepath.Join(folder, "gateway.yaml")
	text := more + "store: sqlite:" + s.database + "\napi_base: " + s.URL + `
admin: {listen: 127.0.0.1:0, key: {env: NO_ADMIN_KEY}}
accounts:
  - {appid: ` + tokenAppID + `, secret: {file: secret}}
  - {appid: wxfedcba9876543210, secret: {env: NO_SECRET}, callback: {token: {env: NO_TOKEN}}}
`
	for path, content := range map[string]string{file: text, filepath.Join(folder, "secret"): tokenSecret + "\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return file
}

// TestPartsOfAConfiguration: commands take --config and need what they use of it.
func TestPartsOfAConfiguration(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	file := s.configured("")
	s.env = map[string]string{}
	both := " --config " + file + " --account " + tokenAppID
	if out, _ := s.run("get"+both, exitOK); !s.Accepts(strings.TrimSpace(out)) {
		t.Errorf("get prints %q", out)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(file), "secret")); err != nil {
		t.Fatal(err)
	}
	out, _ := s.run("status"+both, exitOK) // needs no AppSecret
	s.mustSay(out, "✓ access_token/stable/"+tokenAppID, "in "+s.database)
	_, errs := s.run("get"+both, exitMistake)
	s.mustSay(errs, "the file of the secret cannot be read")
	_, errs = s.run("status --config "+file, exitMistake)
	s.mustSay(errs, "--config names 2 accounts: say which with --account")
	_, errs = s.run("status --config "+file+" --account wx1", exitMistake)
	s.mustSay(errs, "--account wx1: the configuration has no such account")
	for _, args := range []string{"token status --config " + file, "simulate"} {
		_, out, errs := started(t.Context(), nil, append(strings.Fields(args), "--account", shapetest.Secret)...)
		if !strings.Contains(out+errs, "(not shown") || strings.Contains(out+errs, shapetest.Secret) {
			t.Errorf("%s with a secret for --account: %s%s", args, out, errs)
		}
	}
	_, errs = s.run("status --account wx1", exitMistake)
	s.mustSay(errs, "--account goes with --config")

	for command, says := range map[string]string{"client list": "", "migrate status": "the newest"} {
		code, out, errs := started(t.Context(), nil, append(strings.Fields(command), "--config", file)...)
		if code != exitOK || errs != "" || !strings.Contains(out, says) {
			t.Errorf("%s: exit code %d\n%s%s", command, code, out, errs)
		}
	}
}

// TestDoctorNeedsOneAccount: with --account, the secrets of others need not be there.
func TestDoctorNeedsOneAccount(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	file := s.configured("")
	s.env = map[string]string{"ZHONGKONG_SEAL_KEY": sealKey}
	all := s.examine("--config " + file) // what can be looked at is, and what is not here is told
	var absent []string
	for _, c := range all.Checks {
		switch {
		case c.Cause == "secret_absent":
			absent = append(absent, c.Account+" "+c.Found)
		case c.Account != "" && c.Account != tokenAppID, c.Check == "credentials" && c.State != "ok":
			t.Errorf("all accounts: %+v", c)
		}
	}
	want := []string{
		" line 3: admin.key: the environment variable NO_ADMIN_KEY is not set",
		"wxfedcba9876543210 line 6: the secret of wxfedcba9876543210: the environment variable NO_SECRET is not set",
		" line 6: callback of wxfedcba9876543210: the environment variable NO_TOKEN is not set",
	}
	if !slices.Equal(absent, want) {
		t.Errorf("absent: %q", absent)
	}
	for _, args := range []string{"--account wxfedcba9876543210", "--account " + tokenAppID + " --account wxfedcba9876543210"} {
		code, out, errs := started(t.Context(), s.env, append([]string{"doctor", "--config", file}, strings.Fields(args)...)...)
		if code != exitMistake || !strings.Contains(out+errs, "NO_SECRET is not set") {
			t.Errorf("%s: exit code %d\n%s%s", args, code, out, errs)
		}
	}
	broken := s.configured("listen: [1]\n") // what is wrong is wrong
	if code, out, errs := started(t.Context(), s.env, "doctor", "--config", broken); code != exitMistake || !strings.Contains(out+errs, "line 1") {
		t.Errorf("a broken file: exit code %d\n%s%s", code, out, errs)
	}
	file = s.configured("")
	d := s.examine("--config " + file + " --account " + tokenAppID)
	for _, c := range d.Checks {
		if c.Account != "" && c.Account != tokenAppID || c.Cause == "unreadable" || c.Check == "credentials" && c.State != "ok" {
			t.Errorf("%+v", c)
		}
	}
}

// TestDoctorHeading: people see what the doctor's columns are, in their language.
func TestDoctorHeading(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	for language, heading := range map[string]string{"en": "  CHECK         FOUND\n✓ configuration", "zh": "  检查项    结果\n✓ 配置"} {
		env := maps.Clone(s.env)
		env["ZHONGKONG_LANG"] = language
		if _, out, _ := started(t.Context(), env, "doctor"); !strings.HasPrefix(out, heading) {
			t.Errorf("%s: %q", language, out[:min(len(out), 100)])
		}
	}
}

// TestListings: what is listed has headings for people, and is one JSON object for programs.
func TestListings(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	s.run("get", exitOK)
	address := []string{"--store", "sqlite:" + s.database}
	run := func(args ...string) string {
		t.Helper()
		code, out, errs := started(t.Context(), map[string]string{"ZHONGKONG_STORE": "sqlite:" + s.database}, args...)
		if code != exitOK {
			t.Fatalf("%q: exit code %d\n%s%s", args, code, out, errs)
		}
		return out
	}
	list := append([]string{"client", "list"}, address...)
	s.mustSay(run(list...), "NAME", "There is no client yet: zhongkong client add NAME --account APPID")
	run(append([]string{"client", "add", "shop", "--account", "*", "--path", "/cgi-bin/menu/get", "--rate", "2.5", "--ends", "2999-01-31", "--real"}, address...)...)
	run(append([]string{"client", "add", "a-long-name", "--account", tokenAppID}, address...)...)
	s.mustSay(run(list...), "NAME         ACCOUNTS            PATHS              CALLS  TOKENS     ENDS\n",
		"shop         *                   /cgi-bin/menu/get  2.5/s  real       2999-01-31\n",
		"a-long-name  "+tokenAppID+"  all                any    gateway's  never\n")

	var clients clientsJSON
	s.decode(run(append(list, "--json")...), &clients)
	if len(clients.Clients) != 2 || clients.Version != 1 || clients.Clients[0].Name != "a-long-name" || clients.Clients[0].Ends != nil ||
		!clients.Clients[1].Real || clients.Clients[1].Rate != 2.5 || clients.Clients[1].Ends == nil {
		t.Errorf("%+v", clients)
	}

	run(append([]string{"client", "title", "shop", "结算系统"}, address...)...)
	run(append([]string{"client", "add", "third", "--title", "商城", "--account", "*"}, address...)...)
	s.mustSay(run(list...), "TITLE     NAME         ACCOUNTS ", "\n结算系统  shop         *  ", "\n          a-long-name  ", "\n商城      third ")
	s.decode(run(append(list, "--json")...), &clients)
	if clients.Clients[1].Title != "结算系统" || clients.Clients[0].Title != "" {
		t.Errorf("%+v", clients)
	}
	for lang, want := range map[string]string{"en": "title has to be a text of at most 64 characters", "zh": "title 须为最多 64 个字符的文本"} {
		code, _, errs := started(t.Context(), map[string]string{"ZHONGKONG_LANG": lang}, append([]string{"client", "title", "shop", "结\x1b算"}, address...)...)
		if code == exitOK || !strings.Contains(errs, want) {
			t.Errorf("a wrong title: %d %s", code, errs)
		}
	}

	s.mustSay(run("migrate", "status"), "STATE   MIGRATION", "WHEN\n", "applied 00001_credentials.sql")
	var schema schemaJSON
	s.decode(run("migrate", "status", "--json"), &schema)
	if schema.Schema == 0 || schema.Schema != schema.Newest || len(schema.Steps) == 0 || schema.Steps[0].Applied == nil {
		t.Errorf("%+v", schema)
	}
	code, out, _ := started(t.Context(), map[string]string{"ZHONGKONG_STORE": "memory:"}, "migrate", "status", "--json")
	if code != exitOK || !strings.Contains(out, `"steps": []`) {
		t.Errorf("a store without a schema: exit code %d\n%s", code, out)
	}

	s.env["WECHAT_NAME"] = "主店公众号"
	out, _ = s.run("status", exitOK)
	s.mustSay(out, "✓ 主店公众号 access_token/stable/"+tokenAppID, "WHEN                 EVENT    DETAIL\n")
	var status statusJSON
	out, _ = s.run("status --json", exitOK)
	s.decode(out, &status)
	if !status.Live || status.AppID != tokenAppID || status.Name != "主店公众号" || len(status.Credentials) != 1 || status.Credentials[0].ExpiresIn < 7000 || len(status.Journal) < 2 || status.Problem != "" {
		t.Errorf("%+v", status)
	}
	var token struct {
		Value     string `json:"access_token"`
		ExpiresIn int64  `json:"expires_in"`
	}
	out, _ = s.run("get --json", exitOK)
	s.decode(out, &token)
	if !s.Accepts(token.Value) || token.ExpiresIn < 7000 {
		t.Errorf("%+v", token)
	}
	s.env["WECHAT_APPID"] = "wxfedcba9876543210"
	out, errs := s.run("status --json", exitFailed)
	s.decode(out, &status)
	if status.Live || !strings.HasPrefix(status.Problem, "no token lives") || !strings.Contains(errs, status.Problem) {
		t.Errorf("%+v, %s", status, errs)
	}
}

func (s *shop) decode(text string, out any) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(text), out); err != nil {
		s.t.Fatalf("%v: %s", err, text)
	}
}

// TestStatusNeedsNoSecret of the environment either.
func TestStatusNeedsNoSecret(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	s.run("get", exitOK)
	delete(s.env, "WECHAT_APPSECRET")
	out, _ := s.run("status", exitOK)
	s.mustSay(out, "✓ access_token/stable/"+tokenAppID)
	_, errs := s.run("get", exitMistake)
	s.mustSay(errs, "WECHAT_APPSECRET")
}

// TestTokenOfAGateway: get and status ask the gateway of a program that has a key and no
// AppSecret.
func TestTokenOfAGateway(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	store := memory.New()
	clients := gateway.NewClients(store, "test")
	key, err := clients.Add(t.Context(), gateway.Client{Name: "shop", Accounts: []string{"*"}, Real: true})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(t.Context(), gateway.Config{
		Store: store, SealKeys: []custody.Secret{custody.NewSecret(strings.Repeat("k", 32))}, APIBase: s.URL,
		Accounts: []gateway.Account{{AppID: tokenAppID, Secret: custody.NewSecret(tokenSecret), TokenAPI: platform.Stable}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	s.env = map[string]string{
		"WECHAT_APPID": tokenAppID, "ZHONGKONG_GATEWAY": "http://127.0.0.1:1," + server.URL, "ZHONGKONG_GATEWAY_KEY": key.Reveal(),
	}
	if out, _ := s.run("get", exitOK); out != s.Latest(tokenAppID, simulator.Stable)+"\n" {
		t.Errorf("get prints %q", out)
	}
	out, _ := s.run("status", exitOK)
	s.mustSay(out, "✓ access_token of "+tokenAppID, "lives for ", "at "+server.URL)
	var status statusJSON
	out, _ = s.run("status --json", exitOK)
	s.decode(out, &status)
	if !status.Live || status.Place != server.URL || len(status.Credentials) != 1 {
		t.Errorf("%+v", status)
	}

	s.env["WECHAT_APPID"] = "wxfedcba9876543210"
	_, errs := s.run("status", exitFailed)
	s.mustSay(errs, "has no account wxfedcba9876543210 for this client")
	s.env["ZHONGKONG_GATEWAY"] = s.URL // a WeChat
	_, errs = s.run("status", exitFailed)
	s.mustSay(errs, "is no gateway (HTTP ")
	s.env["ZHONGKONG_GATEWAY"] = "http://127.0.0.1:1"
	_, errs = s.run("status", exitFailed)
	s.mustSay(errs, "the gateway http://127.0.0.1:1 does not answer")
	if strings.Contains(errs, key.Reveal()) {
		t.Error("the key is shown")
	}
}

// TestGatewayCA: commands reach a gateway whose certificate no known authority has signed.
func TestGatewayCA(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/zhongkong/v1/accounts" {
			_, _ = io.WriteString(w, `{"accounts":[{"appid":"`+tokenAppID+`","live":true,"expires_in":60,"fence":1}]}`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"errcode":41001,"errmsg":"access_token missing (zhongkong)"}`)
	})
	server := httptest.NewUnstartedServer(answers)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = map[string]string{"WECHAT_APPID": tokenAppID, "ZHONGKONG_GATEWAY": server.URL, "ZHONGKONG_GATEWAY_KEY": "zkkey_made-up"}
	_, errs := s.run("status", exitFailed)
	s.mustSay(errs, "Set ZHONGKONG_GATEWAY_CA to the file")
	s.examine("").wants(t, illness{check: "gateway", cause: "certificate_untrusted", says: "Set ZHONGKONG_GATEWAY_CA to the file"})
	s.env["ZHONGKONG_GATEWAY_CA"] = file
	out, _ := s.run("status", exitOK)
	s.mustSay(out, "✓ access_token of "+tokenAppID)
	for _, c := range s.examine("").Checks {
		if c.Check == "gateway" && c.Cause == "certificate_untrusted" {
			t.Errorf("with the authority: %+v", c)
		}
	}
	s.env["ZHONGKONG_GATEWAY_CA"] = "~/ca.pem"
	_, errs = s.run("status", exitMistake)
	s.mustSay(errs, "ZHONGKONG_GATEWAY_CA: it begins with ~, which only a shell replaces")
}

// TestServeCheck: what a start would find, without one.
func TestServeCheck(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "gateway.yaml")
	const one = "accounts: [{appid: wx1, secret: made-up}]\n"
	for name, c := range map[string]struct {
		text  string
		flags string
		code  int
		says  string
	}{
		"good":         {one, "", exitOK, "The configuration is good.\n  listens at 127.0.0.1:8300\n  keeps tokens in " + filepath.Join(folder, "zhongkong.db") + "\n  wx1, stable\n"},
		"swapped":      {"accounts: [{appid: " + shapetest.Secret + ", secret: " + shapetest.AppID + "}]\n", "", exitMistake, "line 1: appid and secret look swapped"},
		"store":        {one + "store: gopher:x\n", "", exitMistake, "there is no store gopher"},
		"listen":       {one + "listen: here\n", "", exitMistake, `listen is "here": it has to be an address such as 127.0.0.1:8300`},
		"its port":     {one + "listen: 127.0.0.1:http\n", "", exitMistake, "listen is "},
		"a secret":     {one + "listen: " + shapetest.Secret + "\n", "", exitMistake, "listen is (not shown"},
		"in the clear": {one + "listen: 0.0.0.0:8300\n", "", exitMistake, "say --plain-http"},
		"plain":        {one + "listen: 0.0.0.0:8300\n", "--plain-http", exitOK, "listens at 0.0.0.0:8300"},
		"no TLS files": {one + "tls: {cert: cert.pem, key: key.pem}\n", "", exitMistake, "cert.pem"},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		env := map[string]string{"ZHONGKONG_SEAL_KEY": sealKey, "ZHONGKONG_STORE": "sqlite:" + filepath.Join(folder, "zhongkong.db")}
		code, out, errs := started(t.Context(), env, append([]string{"serve", "--check", "--config", file}, strings.Fields(c.flags)...)...)
		if code != c.code || !strings.Contains(out+errs, c.says) || strings.Contains(out+errs, shapetest.Secret) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s%s", name, code, c.code, c.says, out, errs)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "zhongkong.db")); err == nil {
		t.Error("the check made a database")
	}
}

// TestVariables: the lines to paste are those of the system's shell, and the file has the
// same values.
func TestVariables(t *testing.T) {
	t.Parallel()
	a := simulator.MakeUpAccount(7)
	all := variables(a, "http://127.0.0.1:3200", true)
	if len(all) != 5 || all[0].Export("linux") != "export WECHAT_APPID="+a.AppID || all[4].Export("windows") != `$env:WECHAT_API_BASE = "http://127.0.0.1:3200"` {
		t.Errorf("%q", all)
	}
	if mine := variables(a, "http://x", false); len(mine) != 1 || mine[0].Name != "WECHAT_API_BASE" {
		t.Errorf("with an account of one's own: %q", mine)
	}
	c := &simulateCmd{EnvFile: filepath.Join(t.TempDir(), ".env")}
	if err := c.writeEnv(a, "http://127.0.0.1:3200", true); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(c.EnvFile)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := parseLines(string(content))
	if err != nil || lines["WECHAT_APPSECRET"] != a.Secret || lines["WECHAT_API_BASE"] != "http://127.0.0.1:3200" || len(lines) != 5 {
		t.Errorf("%q, %v", content, err)
	}
	if err := (&simulateCmd{EnvFile: "~/zhongkong.env"}).writeEnv(a, "", true); err == nil || !strings.Contains(err.Error(), "--env-file begins with ~") {
		t.Errorf("a home folder: %v", err)
	}
	if err := (&simulateCmd{EnvFile: t.TempDir()}).writeEnv(a, "", true); err == nil || !strings.Contains(err.Error(), "--env-file: ") {
		t.Errorf("a folder: %v", err)
	}
}
