package simulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

func TestMain(m *testing.M) {
	tier.Overlap()
	goleak.VerifyTestMain(m)
}

const (
	appid  = "wx0123456789abcdef"
	secret = "0123456789abcdef0123456789abcdef"
)

// one returns the account that most tests use.
func one() []simulator.Account { return []simulator.Account{{AppID: appid, Secret: secret}} }

// ways are the two ways to a simulator, which must not differ.
var ways = map[string]func(testing.TB, simulator.Options) *simtest.Sim{"socket": simtest.New, "memory": simtest.InMemory}

// inMemory starts a simulator for a bubble, with the account that most tests use.
func inMemory(t *testing.T, o simulator.Options) *simtest.Sim {
	t.Helper()
	if o.Accounts == nil {
		o.Accounts = one()
	}
	return simtest.InMemory(t, o)
}

// reply is an answer as a client reads it.
type reply struct {
	Token     string   `json:"access_token"`
	ExpiresIn int      `json:"expires_in"`
	Errcode   int      `json:"errcode"`
	Errmsg    string   `json:"errmsg"`
	IPs       []string `json:"ip_list"`

	status int
	header http.Header
	raw    string
}

// do sends a request and reads the whole answer, which need not be JSON.
func do(client *http.Client, r *http.Request) (reply, error) {
	res, err := client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return reply{}, err
	}
	a := reply{status: res.StatusCode, header: res.Header, raw: string(body)}
	_ = json.Unmarshal(body, &a)
	return a, nil
}

func must(t *testing.T, client *http.Client, r *http.Request) reply {
	t.Helper()
	a, err := do(client, r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func request(tb testing.TB, method, target, body string) *http.Request {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), method, target, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func classicURL(wx *simtest.Sim) string {
	return wx.URL + simulator.TokenPath + "?grant_type=client_credential&appid=" + wx.AppID() + "&secret=" + wx.Secret()
}

func classic(t *testing.T, wx *simtest.Sim) reply {
	t.Helper()
	return must(t, wx.Client(), request(t, "GET", classicURL(wx), ""))
}

func stableBody(wx *simtest.Sim, force bool) string {
	b, _ := json.Marshal(map[string]any{
		"grant_type": "client_credential", "appid": wx.AppID(), "secret": wx.Secret(), "force_refresh": force,
	})
	return string(b)
}

func stable(t *testing.T, wx *simtest.Sim, force bool) reply {
	t.Helper()
	return must(t, wx.Client(), request(t, "POST", wx.URL+simulator.StableTokenPath, stableBody(wx, force)))
}

func call(t *testing.T, wx *simtest.Sim, path, token string) reply {
	t.Helper()
	return must(t, wx.Client(), request(t, "GET", wx.URL+path+"?access_token="+url.QueryEscape(token), ""))
}

func probe(t *testing.T, wx *simtest.Sim, token string) int {
	t.Helper()
	return call(t, wx, simulator.DomainIPPath, token).Errcode
}

var ridForm = regexp.MustCompile(` rid: ([0-9a-f]{8})-[0-9a-f]{8}-[0-9a-f]{8}$`)

// mustPanic runs f and reports when it does not panic.
func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}
