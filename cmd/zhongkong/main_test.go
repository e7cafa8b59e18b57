package main

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// started is a run of the program in this process.
func started(ctx context.Context, env map[string]string, args ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	t := newTerminal(strings.NewReader(""), &stdout, &stderr, func(name string) (string, bool) {
		value, found := env[name]
		return value, found
	})
	code = run(ctx, args, t)
	return code, stdout.String(), patient.ReplaceAllString(stderr.String(), "")
}

// patient is what a command says on a machine that is busy for longer than a second.
var patient = regexp.MustCompile(`(?m)^zhongkong: (?:waiting for |正在等待).*\n`)

var account = map[string]string{
	"WECHAT_APPID": "wx0123456789abcdef", "WECHAT_APPSECRET": "made-up-secret", "WECHAT_TOKEN": "AAAAA",
	"WECHAT_AES_KEY": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
}

// with returns the account's variables with others; "" removes one.
func with(pairs ...string) map[string]string {
	env := map[string]string{}
	maps.Copy(env, account)
	for i := 0; i < len(pairs); i += 2 {
		env[pairs[i]] = pairs[i+1]
		if pairs[i+1] == "" {
			delete(env, pairs[i])
		}
	}
	return env
}

// secrets are what no output may show.
func checkSecrets(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, name := range []string{"WECHAT_APPSECRET", "WECHAT_TOKEN", "WECHAT_AES_KEY"} {
			if strings.Contains(text, account[name]) {
				t.Errorf("%s is shown: %s", name, text)
			}
		}
	}
}

func TestPush(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/down":
			w.WriteHeader(http.StatusBadGateway)
		case r.Method == http.MethodGet:
			_, _ = io.WriteString(w, r.URL.Query().Get("echostr"))
		case r.URL.Path == "/reply":
			body, _ := io.ReadAll(r.Body)
			m := regexp.MustCompile(`(?s)<ToUserName>(.*)</ToUserName>\n<FromUserName>(.*)</FromUserName>`).FindSubmatch(body)
			_, _ = io.WriteString(w, "<xml><ToUserName>"+string(m[2])+"</ToUserName><FromUserName>"+string(m[1])+
				"</FromUserName><CreateTime>1</CreateTime><MsgType>text</MsgType><Content>你好\u009b31m，世界"+"</Content></xml>")
		default:
			_, _ = io.WriteString(w, "success")
		}
	}))
	defer app.Close()
	for _, row := range []struct {
		args string
		code int
		want []string
	}{
		{"push text 你好 --to " + app.URL, 0, []string{"→ text to http", "1  200 in ", "✓ silent: the app answered success"}},
		{"push text 你好 --mode safe --format json --from oX --set MsgId=7 -v --to " + app.URL, 0, []string{"openid=oX", `{"ToUserName":"gh_`, `"Encrypt":"`}},
		{"push click V1001 --mode plain -v --to " + app.URL, 0, []string{"<EventKey><![CDATA[V1001]]></EventKey>"}},
		{"push verify --to " + app.URL, 0, []string{"✓ verified"}},
		{"push verify --attack signature --to " + app.URL, 1, []string{"✗ accepted: the app echoes whatever comes"}},
		{"push text --attack replay --to " + app.URL, 0, []string{"2  200 in", "✓ silent", "handled the message once"}},
		{"push text --attack tampered --to " + app.URL, 1, []string{"✗ accepted: the app answered the tampered attack with 200"}},
		{"push text --attack stale --to " + app.URL + "/down", 0, []string{"✓ refused: the app refused the stale attack: it answered 502 Bad Gateway"}},
		{"push text --wait 2s --to " + app.URL + "/down", 1, []string{"3  502 in", "✗ failed: 3 deliveries went wrong", "the follower sees: 该公众号提供的服务出现故障，请稍后再试"}},
		{"push list", 0, []string{"MASSSENDJOBFINISH             Status", "subscribe                     -"}},
	} {
		code, out, errs := started(t.Context(), account, strings.Fields(row.args)...)
		for _, want := range row.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s%s", row.args, want, out, errs)
			}
		}
		if code != row.code || errs != "" || strings.Contains(out, "\x1b") {
			t.Errorf("%s: exit code %d, want %d\n%s%s", row.args, code, row.code, out, errs)
		}
		checkSecrets(t, out, errs)
	}
	code, out, _ := started(t.Context(), with("WECHAT_AES_KEY", ""), "push", "text", "--to", app.URL+"/reply")
	if code != 0 || !strings.Contains(out, "the follower sees: 你好·31m，世界") {
		t.Errorf("%d %s", code, out)
	}
}

// TestPushTellsTheSimulator: an app that got a message by push may send customer service
// messages to the follower through the simulator that runs in another process.
func TestPushTellsTheSimulator(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "success") }))
	defer app.Close()
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{{AppID: account["WECHAT_APPID"], Secret: account["WECHAT_APPSECRET"]}}})
	send := func() string {
		body := `{"touser":"` + wx.Account().Followers[0] + `","msgtype":"text","text":{"content":"x"}}`
		resp, err := wx.Client().Post(wx.URL+"/cgi-bin/message/custom/send?access_token="+wx.Supersede(wx.AppID()), "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		answer, _ := io.ReadAll(resp.Body)
		return string(answer)
	}
	env := with("WECHAT_API_BASE", wx.URL)
	for _, row := range []struct{ args, want string }{
		{"push text x --attack stale --to ", `"errcode":45015`},
		{"push verify --to ", `"errcode":45015`},
		{"push click V1 --to ", `"errcode":0`},
		{"push text x --to ", `"errcode":0`},
	} {
		if _, _, errs := started(t.Context(), env, strings.Fields(row.args+app.URL)...); errs != "" {
			t.Errorf("%s: %s", row.args, errs)
		}
		if got := send(); !strings.Contains(got, row.want) {
			t.Errorf("after %s%s: %s, want %s", row.args, app.URL, got, row.want)
		}
	}
	wx.Clock.Advance(time.Hour)
	if got := send(); !strings.Contains(got, `"errcode":0`) {
		t.Errorf("an hour after a text: %s", got)
	}
	app.Config.Handler = http.NotFoundHandler() // nothing is there that could be told
	if _, _, errs := started(t.Context(), with("WECHAT_API_BASE", "http://127.0.0.1:1"), "push", "text", "--to", app.URL); errs != "" {
		t.Errorf("without a simulator: %s", errs)
	}
}

// TestMistakes: a clear error, exit code 2, nothing on standard output, nothing
// sent, no file written.
func TestMistakes(t *testing.T) {
	t.Parallel()
	asked := 0
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer app.Close()
	folder := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	broken := write("broken.env", "A_APPID=wx1\nsupersecretline\n")
	twice := write("twice.env", "A_APPID=wx1\nA_APPID=wx2\n")
	empty := write("empty.env", "# nothing\n")
	several := write("several.env", "A_APPID=wx1\nB_APPID=wx2\n")
	unfinished := write("unfinished.env", "export SHOP_APPID='wx1'\n")
	log := filepath.Join(folder, "calls.log")
	to := " --to " + app.URL
	for _, row := range []struct {
		args string
		env  map[string]string
		want string
	}{
		{"push", account, `expected "<type>"; see zhongkong --help`},
		{"pull", account, "unexpected argument pull"},
		{"push text x --secret y" + to, account, "unknown flag --secret"},
		{"push text x", account, "--to is missing: give your app's callback address"},
		{"push text x --to 127.0.0.1:3100", account, `"127.0.0.1:3100" has to begin with http://`},
		{"push txt x" + to, account, `there is no message "txt"; zhongkong push list shows them all`},
		{"push text x --mode none" + to, account, `there is no mode "none"`},
		{"push text x --format yaml" + to, account, `there is no format "yaml"`},
		{"push text x --attack all" + to, account, `there is no attack "all"`},
		{"push text x --set Contnet=x" + to, account, `there is no field "Contnet" to set`},
		{"push text x --set Content" + to, account, "expected \"<key>=<value>\""},
		{"push subscribe x" + to, account, "subscribe takes no value"},
		{"push verify x" + to, account, "verify takes no value"},
		{"push verify --attack stale" + to, account, "verify knows the attack signature alone"},
		{"push text x --wait 0s" + to, account, "--wait 0s: it has to be positive"},
		{"push text x --wait soon" + to, account, `expected duration`},
		{"push text x" + to, with("WECHAT_TOKEN", ""), "WECHAT_TOKEN is not set"},
		{"push text x" + to, with("WECHAT_APPID", ""), "WECHAT_APPID is not set"},
		{"push text x" + to, with("WECHAT_AES_KEY", "short"), "the AESKey of wx0123456789abcdef has to be 43 letters and digits"},
		{"push text x" + to, with("WECHAT_TOKEN", "a!b"), "the Token of wx0123456789abcdef has to be 3 to 32 letters and digits"},
		{"push text x --mode safe" + to, with("WECHAT_AES_KEY", ""), "has no AESKey, which safe mode needs"},
		{"push text x --account " + several + to, account, "has 2 accounts"},

		{"simulate --life 1h30m0.5s --log " + log, account, "--life is 1h30m0.5s: it must be a whole number of seconds"},
		{"simulate --overlap 3h --log " + log, account, "--overlap is 3h0m0s: it must be shorter than --life, 2h0m0s"},
		{"simulate --life long --log " + log, account, "expected duration"},
		{"simulate --seed x --log " + log, account, "--seed"},
		{"simulate --app 127.0.0.1:3100 --log " + log, account, `--app: "127.0.0.1:3100" has to begin with http://`},
		{"simulate --account SHOP --log " + log, account, "SHOP_APPID is not set"},
		{"simulate --account WECHAT --log " + log, with("WECHAT_APPSECRET", ""), "WECHAT_APPSECRET is not set"},
		{"simulate --account WECHAT --app http://127.0.0.1:3100/ --log " + log, with("WECHAT_TOKEN", ""), "WECHAT_TOKEN is not set"},
		{"simulate --account WECHAT --log " + log, with("WECHAT_KIND", "robot"), `WECHAT_KIND: "robot" is no kind of account`},
		{"simulate --account WECHAT --log " + log, with("WECHAT_WHITELIST", "127.0.0.1, x"), `"x" is neither an IP nor a CIDR`},
		{"simulate --account WECHAT --account WECHAT --log " + log, account, "appears twice"},
		{"simulate --account " + broken + " --log " + log, account, "broken.env: line 2 is no NAME=value"},
		{"simulate --account " + twice + " --log " + log, account, "twice.env: line 2 has A_APPID a second time"},
		{"simulate --account " + empty + " --log " + log, account, "the file has no line WECHAT_APPID=…"},
		{"simulate --account " + unfinished + " --log " + log, account, "unfinished.env: SHOP_APPSECRET is not set"},
		{"simulate --account ./none.env --log " + log, account, "neither a name such as WECHAT nor a file that can be read"},
		{"simulate --listen 127.0.0.1:0 --log " + folder, account, "--log: "},
	} {
		code, out, errs := started(t.Context(), row.env, strings.Fields(row.args)...)
		if code != exitMistake || out != "" || !strings.HasPrefix(errs, "zhongkong: ") || !strings.Contains(errs, row.want) ||
			strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: exit code %d\n%s%s\nwant %q", row.args, code, out, errs, row.want)
		}
		checkSecrets(t, out, errs)
		if strings.Contains(errs, "supersecretline") {
			t.Errorf("a line of the file is shown: %s", errs)
		}
	}
	if _, err := os.Stat(log); err == nil || asked != 0 {
		t.Errorf("a mistake wrote the log (%v) or asked the app %d times", err, asked)
	}

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	code, out, errs := started(t.Context(), nil, "simulate", "--listen", taken.Addr().String(), "--log", log)
	if code != exitFailed || out != "" || !strings.Contains(errs, "cannot listen at "+taken.Addr().String()) {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if _, err := os.Stat(log); err == nil {
		t.Error("the log was written although nothing could listen")
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, row := range [][]string{{}, {"--help"}, {"push", "--help"}, {"simulate", "--help"}} {
		code, out, errs := started(t.Context(), nil, row...)
		if code != 0 || errs != "" || !strings.Contains(out, "Usage: zhongkong") {
			t.Errorf("%v: %d %s%s", row, code, out, errs)
		}
	}
}

func TestAccountFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "accounts.env")
	content := "\uFEFF# two accounts\r\nexport WECHAT_APPID=wx1\r\nWECHAT_APPSECRET=\"s 1\"\nWECHAT_TOKEN=AAAAA\nPORT=3100\n\n" +
		"SHOP_APPID = wx2\nSHOP_APPSECRET='s2'\nSHOP_KIND=mini\nSHOP_WHITELIST=192.0.2.1, 198.51.100.*\nSHOP_FORMAT=json\nSHOP_TEMPLATES=t1,t2\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := findAccounts(path, func(string) (string, bool) { return "", false })
	if err != nil || len(found) != 2 {
		t.Fatal(err, found)
	}
	shop, err := found[0].account(true, false)
	if err != nil || shop.AppID != "wx2" || shop.Secret != "s2" || shop.Kind.String() != "mini" || len(shop.Whitelist) != 2 || len(shop.Templates) != 2 ||
		shop.Format != "json" {
		t.Errorf("%v %+v", err, shop)
	}
	usual, err := found[1].account(true, false)
	if err != nil || usual.AppID != "wx1" || usual.Secret != "s 1" || usual.Token != "AAAAA" || usual.Kind.String() != "official" {
		t.Errorf("%v %+v", err, usual)
	}
}

// TestAccountOfApp: an app of WeCom has a whitelist too, its 企业可信IP.
func TestAccountOfApp(t *testing.T) {
	t.Parallel()
	variables := map[string]string{"CORPID": "ww0123456789abcdef", "AGENTID": "1000002", "SECRET": "s", "WHITELIST": "192.0.2.1, 198.51.100.*"}
	app, err := values{name: "SALES", get: func(name string) string { return variables[name] }}.account(true, false)
	if err != nil || app.AppID != "ww0123456789abcdef:1000002" || app.Kind.String() != "wecom" || len(app.Whitelist) != 2 {
		t.Errorf("%v %+v", err, app)
	}
}

func TestBaseOf(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"127.0.0.1:3200": "http://127.0.0.1:3200", "[::1]:3200": "http://[::1]:3200", "192.0.2.1:80": "http://192.0.2.1:80, open",
		"0.0.0.0:3200": "http://127.0.0.1:3200, open", "[::]:3200": "http://127.0.0.1:3200, open",
	} {
		got, open := baseOf(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(listen)))
		if open {
			got += ", open"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}

func TestColours(t *testing.T) {
	t.Parallel()
	plain := newTerminal(nil, io.Discard, io.Discard, os.LookupEnv)
	if plain.red("x") != "x" {
		t.Error("colours without a terminal")
	}
	plain.colour = true
	if plain.red("x") != "\x1b[31mx\x1b[0m" || plain.tick(true) != "\x1b[32m✓\x1b[0m" || plain.red("") != "" {
		t.Error("no colours")
	}
	if got := oneLine("a\nb\x1b[2J\u009b"+strings.Repeat("长", 9), 8); got != "a⏎b·[2J…" {
		t.Error(got)
	}
}
