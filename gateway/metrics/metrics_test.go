package metrics_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/metrics"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

func TestMain(m *testing.M) { testserver.Main(m) }

const (
	appID     = "wx0123456789abcdef"
	otherApp  = "wxfedcba9876543210"
	appSecret = "0123456789abcdef0123456789abcdef"
	domainIP  = "/cgi-bin/get_api_domain_ip"
)

// promtool runs promtool with input, or leaves the test out.
func promtool(t *testing.T, input string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testserver.Promtool(t), args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("warning")) {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// world is a gateway that has seen a bit of everything.
type world struct {
	*gateway.Gateway

	wx  *simtest.Sim
	key string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	accounts := []simulator.Account{{AppID: appID, Secret: appSecret}, {AppID: otherApp, Secret: "other-" + appSecret}}
	w := &world{wx: simtest.InMemory(t, simulator.Options{Accounts: accounts})}
	store := memory.New()
	t.Cleanup(func() { _ = store.Close() })
	list := []gateway.Account{
		{AppID: appID, Secret: custody.NewSecret(appSecret), DailyFetches: 100},
		{AppID: otherApp, Secret: custody.NewSecret("wrong-" + appSecret)},
	}
	var err error
	if w.Gateway, err = gateway.New(t.Context(), gateway.Config{
		Accounts: list, Store: store, SealKeys: []custody.Secret{custody.NewSecret(strings.Repeat("s", 32))}, Transport: w.wx.RoundTripper(),
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	key, err := w.Clients("test").Add(t.Context(), gateway.Client{Name: "shop", Accounts: []string{gateway.AllAccounts}})
	if err != nil {
		t.Fatal(err)
	}
	w.Look(t.Context())
	w.key = key.Reveal()
	w.call(t, appID, "/cgi-bin/ticket/getticket?type=jsapi")
	w.wx.Kill(appID)
	w.call(t, appID, domainIP)
	w.call(t, otherApp, domainIP) // its AppSecret is wrong
	w.wx.Inject(simulator.Fault{Path: domainIP, Body: `{"errcode":987654321,"errmsg":"nobody knows it"}`})
	w.call(t, appID, domainIP)
	w.key = "zkkey_none"
	w.call(t, appID, domainIP)
	w.key = key.Reveal()
	renewed := `zhongkong_renewals_total{appid="` + appID + `",kind=`
	scrapeUntil(t, metrics.Handler(w.Gateway, metrics.Config{}), renewed+`"access_token",reason="refused"`, renewed+`"jsapi_ticket",reason="missing"`)
	return w
}

func (w *world) call(t *testing.T, appID, target string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+w.key)
	r.Header.Set("X-WeChat-AppID", appID)
	w.ServeHTTP(httptest.NewRecorder(), r)
}

func scrape(t *testing.T, handler http.Handler, key string) (text string, status int) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+key)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, r)
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), answer.Code
}

// scrapeUntil scrapes until all of want are told: what happens after a call was
// answered is counted after it.
func scrapeUntil(t *testing.T, handler http.Handler, want ...string) string {
	t.Helper()
	var text string
	var missing []string
	if !patience.Wait(func() bool {
		text, _ = scrape(t, handler, "")
		missing = slices.DeleteFunc(slices.Clone(want), func(line string) bool { return strings.Contains(text, line) })
		return len(missing) == 0
	}) {
		t.Fatalf("not within %s: %q, in\n%s", patience.Bound, missing, text)
	}
	return text
}

// value returns what a line of the exposition says; series has its labels sorted.
func value(t *testing.T, text, series string) float64 {
	t.Helper()
	for line := range strings.Lines(text) {
		if rest, found := strings.CutPrefix(line, series+" "); found {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Errorf("there is no %s", series)
	return -1
}

// TestMetrics: what is told is what happened, without a secret.
func TestMetrics(t *testing.T) {
	w := newWorld(t)
	text, _ := scrape(t, metrics.Handler(w.Gateway, metrics.Config{}), "")
	for series, want := range map[string]float64{
		`zhongkong_accounts`:                                     2,
		`zhongkong_accounts_without_token`:                       1,
		`zhongkong_token_left_least_seconds`:                     0,
		`zhongkong_token_live{appid="` + appID + `"}`:            1,
		`zhongkong_token_live{appid="` + otherApp + `"}`:         0,
		`zhongkong_token_left_seconds{appid="` + otherApp + `"}`: 0,
		`zhongkong_renewals_total{appid="` + appID + `",kind="access_token",reason="missing",result="saved"}`:            1,
		`zhongkong_renewals_total{appid="` + appID + `",kind="access_token",reason="refused",result="saved"}`:            1,
		`zhongkong_renewals_total{appid="` + appID + `",kind="jsapi_ticket",reason="missing",result="saved"}`:            1,
		`zhongkong_renewal_failures_total{appid="` + otherApp + `",class="blocked",errcode="40125",kind="access_token"}`: 1,
		`zhongkong_refusals_total{appid="` + appID + `",kind="access_token",result="renewed"}`:                           1,
		`zhongkong_probes_total{appid="` + appID + `",kind="access_token",verdict="rejected"}`:                           1,
		`zhongkong_probes_total{appid="` + appID + `",kind="access_token",verdict="accepted"}`:                           1, // of the value that came instead
		`zhongkong_probe_duration_seconds_count`:                                                                         2,
		`zhongkong_fetches_limit{appid="` + appID + `",kind="access_token"}`:                                             100,
		`zhongkong_calls_total{answerer="wechat",appid="` + appID + `",errcode="0"}`:                                     1,
		`zhongkong_calls_total{answerer="wechat",appid="` + appID + `",errcode="other"}`:                                 1,
		`zhongkong_calls_total{answerer="gateway",appid="` + appID + `",errcode="0"}`:                                    1,
		`zhongkong_calls_total{answerer="gateway",appid="` + otherApp + `",errcode="40125"}`:                             1,
		`zhongkong_calls_total{answerer="gateway",appid="",errcode="40125"}`:                                             1,
		`zhongkong_client_calls_total{client="shop"}`:                                                                    4,
		`zhongkong_proxy_duration_seconds_count`:                                                                         3,
		`zhongkong_proxy_duration_seconds_bucket{le="+Inf"}`:                                                             3,
		`zhongkong_wrong_keys_total`:                               1,
		`zhongkong_store_calls_total{call="save",outcome="error"}`: 0,
		`zhongkong_store_calls_total{call="save",outcome="ok"}`:    3,
	} {
		if got := value(t, text, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	for series, limits := range map[string][2]float64{
		`zhongkong_token_age_seconds{appid="` + appID + `"}`:                               {0, 60},
		`zhongkong_token_left_seconds{appid="` + appID + `"}`:                              {7000, 7200},
		`zhongkong_client_last_call_timestamp_seconds{client="shop"}`:                      {float64(time.Now().Unix() - 60), float64(time.Now().Unix() + 1)},
		`zhongkong_fetches_left{appid="` + appID + `",kind="access_token"}`:                {96, 98}, // two or three, if the first answer was the killed token
		`zhongkong_fetch_duration_seconds_count`:                                           {4, 5},
		`zhongkong_fetches_total{appid="` + appID + `",kind="access_token",mode="normal"}`: {2, 2},
	} {
		if got := value(t, text, series); got < limits[0] || got > limits[1] {
			t.Errorf("%s is %v, want %v", series, got, limits)
		}
	}
	token, _ := w.wx.Ticket(appID, simulator.JSAPI)
	for _, secret := range []string{appSecret, w.key, w.wx.Latest(appID, simulator.Stable), token, "zkkey_"} {
		if secret == "" || strings.Contains(text, secret) {
			t.Errorf("the metrics show a secret, or there is none: %q", secret)
		}
	}
	for _, name := range []string{"go_goroutines", "process_start_time_seconds", "go_build_info"} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("there is no %s", name)
		}
	}
}

// TestLint: the metrics are as Prometheus wants them.
func TestLint(t *testing.T) {
	w := newWorld(t)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.NewCollector(w.Gateway, metrics.Config{}))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() != "errcode" || l.GetValue() == "other" {
					continue
				}
				code, err := strconv.Atoi(l.GetValue())
				if _, known := errcode.Lookup(code); err != nil || code != 0 && !known {
					t.Errorf("%s has the errcode %q, which nobody knows", f.GetName(), l.GetValue())
				}
			}
		}
	}
	text, _ := scrape(t, metrics.Handler(w.Gateway, metrics.Config{}), "")
	promtool(t, text, "check", "metrics")
}

// TestSummedUp: with more accounts than there may be series, nothing stands alone,
// and what was counted stays when an account goes.
func TestSummedUp(t *testing.T) {
	w := newWorld(t)
	handler := metrics.Handler(w.Gateway, metrics.Config{MaxSeries: -1})
	const sum = `zhongkong_renewals_total{appid="",kind="access_token",reason="missing",result="saved"}`
	for range 2 {
		text, _ := scrape(t, handler, "")
		if strings.Contains(text, appID) || strings.Contains(text, `"shop"`) || strings.Contains(text, "zhongkong_token_left_seconds{") {
			t.Error("an account or a client stands alone")
		}
		if value(t, text, sum) != 1 || value(t, text, `zhongkong_client_calls_total{client=""}`) != 4 || value(t, text, `zhongkong_calls_total{answerer="gateway",appid="",errcode="40125"}`) != 2 {
			t.Errorf("the sums:\n%s", text)
		}
		if err := w.Replace([]gateway.Account{{AppID: otherApp, Secret: custody.NewSecret("wrong-" + appSecret)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Clients("test").Revoke(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	w.Look(t.Context())
	if text, _ := scrape(t, handler, ""); value(t, text, `zhongkong_client_calls_total{client=""}`) != 4 {
		t.Error("calls of a client that was revoked are gone")
	}
	text, _ := scrape(t, metrics.Handler(w.Gateway, metrics.Config{MaxSeries: 1}), "")
	if strings.Contains(text, "shop") {
		t.Error("a client that was revoked has metrics")
	}
	if strings.Contains(text, appID) || !strings.Contains(text, otherApp) {
		t.Error("an account that was removed has metrics, or the one that is left has none")
	}
}

// TestAccess: the admin key and the metrics key, and no other.
func TestAccess(t *testing.T) {
	w := newWorld(t)
	admin, watch := strings.Repeat("a", 32), strings.Repeat("w", 32)
	handler := w.Guard(
		metrics.Handler(w.Gateway, metrics.Config{}),
		custody.NewSecret(admin),
		custody.NewSecret(watch),
		custody.NewSecret("short"),
		custody.Secret{},
	)
	for key, want := range map[string]int{admin: 200, watch: 200, "": 401, "short": 401, admin + "a": 401, w.key: 401} {
		text, status := scrape(t, handler, key)
		if status != want || (status == 200) != strings.Contains(text, "zhongkong_accounts") {
			t.Errorf("with %q: status %d, want %d", key, status, want)
		}
	}
}

// TestQueues: what waits for a subscriber that is away, and what became of pushes.
func TestQueues(t *testing.T) {
	w := newWorld(t)
	taken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "success") }))
	defer taken.Close()
	if err := w.Replace([]gateway.Account{{
		AppID: appID, Secret: custody.NewSecret(appSecret), DailyFetches: 100,
		Callback: &gateway.Callback{Token: custody.NewSecret("madeUpToken"), Subscribers: []gateway.Subscriber{
			{Name: "crm", URL: taken.URL, Token: custody.NewSecret("madeUpCRM")},
			{Name: "archive", URL: "http://" + testserver.Refusing(t), Token: custody.NewSecret("madeUpArchive")},
		}},
	}}); err != nil {
		t.Fatal(err)
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	target := "/callback/" + appID + "?timestamp=" + stamp + "&nonce=7&signature=" + callback.Signature("madeUpToken", stamp, "7")
	push := `<xml><ToUserName>gh_1</ToUserName><FromUserName>oAbCd0123456789EfGhIjKlMnOp1</FromUserName><CreateTime>` + stamp +
		`</CreateTime><MsgType>text</MsgType><Content>hello</Content><MsgId>7001</MsgId></xml>`
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(push)))
	if answer.Code != http.StatusOK {
		t.Fatal(answer.Code, answer.Body)
	}
	handler := metrics.Handler(w.Gateway, metrics.Config{})
	down := `zhongkong_subscriber_down{appid="` + appID + `",subscriber="archive"} 1`
	delivered := `zhongkong_deliveries_total{appid="` + appID + `",result="delivered",subscriber="crm"} 1`
	removed := `zhongkong_queue_length{appid="` + appID + `",subscriber="crm"} 0`
	text := scrapeUntil(t, handler, down, delivered, removed)
	labels := `{appid="` + appID + `",subscriber="archive"}`
	if value(t, text, "zhongkong_queue_length"+labels) != 1 || value(t, text, "zhongkong_queue_oldest_seconds"+labels) <= 0 ||
		value(t, text, `zhongkong_deliveries_total{appid="`+appID+`",result="failed",subscriber="archive"}`) < 1 {
		t.Errorf("the subscriber that is away:\n%s", text)
	}
	text, _ = scrape(t, metrics.Handler(w.Gateway, metrics.Config{MaxSeries: -1}), "")
	if value(t, text, `zhongkong_queue_length{appid="",subscriber=""}`) != 1 || strings.Contains(text, "archive") {
		t.Errorf("summed up:\n%s", text)
	}
}

// TestSeries: how many series an account and a client have, which docs/metrics.md
// says.
func TestSeries(t *testing.T) {
	w := newWorld(t)
	text, _ := scrape(t, metrics.Handler(w.Gateway, metrics.Config{}), "")
	n := map[string]int{}
	for line := range strings.Lines(text) {
		for _, who := range []string{appID, `"shop"`} {
			if strings.Contains(line, who) {
				n[who]++
			}
		}
	}
	t.Logf("series: %v", n)
	if n[appID] > 30 || n[`"shop"`] != 3 {
		t.Errorf("series: %v", n)
	}
}

// TestAlerts: the example's rules are what Prometheus reads.
func TestAlerts(t *testing.T) {
	promtool(t, "", "check", "rules", "../../docs/alerts.yaml")
}

// TestNames: names are in series of their own, whatever characters they have.
func TestNames(t *testing.T) {
	w := newWorld(t)
	if err := w.Replace([]gateway.Account{{
		Name: `主店 "A"`, AppID: appID, Secret: custody.NewSecret(appSecret),
		Callback: &gateway.Callback{Token: custody.NewSecret("madeUpToken"), Subscribers: []gateway.Subscriber{
			{Name: "crm", Title: "结算系统", URL: "https://crm.example/", Token: custody.NewSecret("madeUpCRM")},
		}},
	}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Clients("test").SetTitle(t.Context(), "shop", "商城"); err != nil {
		t.Fatal(err)
	}
	w.Look(t.Context())
	text, _ := scrape(t, metrics.Handler(w.Gateway, metrics.Config{}), "")
	for _, series := range []string{
		`zhongkong_account_info{appid="` + appID + `",name="主店 \"A\""}`,
		`zhongkong_client_info{client="shop",title="商城"}`,
		`zhongkong_subscriber_info{appid="` + appID + `",subscriber="crm",title="结算系统"}`,
	} {
		if value(t, text, series) != 1 {
			t.Errorf("no %s in\n%s", series, text)
		}
	}
	promtool(t, text, "check", "metrics")
	if text, _ = scrape(t, metrics.Handler(w.Gateway, metrics.Config{MaxSeries: -1}), ""); strings.Contains(text, "主店") || strings.Contains(text, "商城") || strings.Contains(text, "结算") {
		t.Error("a name stands alone where nothing does")
	}
}

// TestAlertsWithNames: an alert says the name first, stays the same one when it changes, and
// fires without one.
func TestAlertsWithNames(t *testing.T) {
	rules, err := filepath.Abs("../../docs/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "test.yaml")
	test := `rule_files: ["` + filepath.ToSlash(rules) + `"]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'zhongkong_account_info{appid="wx01",name="主店公众号",instance="a"}', values: '1x10 stale'}
      - {series: 'zhongkong_account_info{appid="wx01",name="总店",instance="a"}', values: '_x11 1x30'}
      - {series: 'zhongkong_account_info{appid="wx02",name="",instance="a"}', values: '1x40'}
      - {series: 'zhongkong_subscriber_info{appid="wx01",subscriber="crm",title="结算系统",instance="a"}', values: '1x40'}
      - {series: 'zhongkong_renewal_failures_total{appid="wx01",kind="access_token",class="fatal",errcode="40125",instance="a"}', values: '0 0 1x40'}
      - {series: 'zhongkong_renewal_failures_total{appid="wx02",kind="access_token",class="fatal",errcode="40125",instance="a"}', values: '0 0 1x40'}
      - {series: 'zhongkong_subscriber_down{appid="wx01",subscriber="crm",instance="a"}', values: '1x40'}
    alert_rule_test:
`
	for at, name := range map[string]string{"8m": "主店公众号", "20m": "总店"} {
		test += `      - eval_time: ` + at + `
        alertname: ZhongkongRenewalFails
        exp_alerts:
          - exp_labels: {severity: critical, instance: a, appid: wx01, class: fatal, errcode: "40125"}
            exp_annotations: {summary: "` + name + ` wx01 cannot be renewed: fatal, errcode 40125", remedy: "zhongkong explain 40125"}
          - exp_labels: {severity: critical, instance: a, appid: wx02, class: fatal, errcode: "40125"}
            exp_annotations: {summary: "wx02 cannot be renewed: fatal, errcode 40125", remedy: "zhongkong explain 40125"}
      - eval_time: ` + at + `
        alertname: ZhongkongSubscriberDown
        exp_alerts:
          - exp_labels: {severity: critical, appid: wx01, subscriber: crm}
            exp_annotations: {summary: "结算系统 crm takes no pushes of ` + name + ` wx01", remedy: "They wait in the store, for 3 days at most."}
`
	}
	if err := os.WriteFile(path, []byte(test), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "test", "rules", path)
}
