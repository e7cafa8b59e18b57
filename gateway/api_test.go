package gateway_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

const apiBase = "/zhongkong/v1/accounts/" + appID

func bearer(key string) []string { return []string{"Authorization", "Bearer " + key} }

// handed is what the gateway's own API hands out.
type handed struct {
	AppID   string `json:"appid"`
	Token   string `json:"access_token"`
	Expires int    `json:"expires_in"`
	Real    bool   `json:"real"`
	Fence   int64  `json:"fence"`
}

func (w *world) handOuts() (n int) {
	w.t.Helper()
	uses, err := w.store.(store.Ledger).Uses(w.t.Context(), 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, use := range uses {
		if use.Act == "hand out token" && use.Subject == appID {
			n++
		}
	}
	return n
}

// TestAPIToken: a real token for who may have it, in the journal; a gateway token for
// the others.
func TestAPIToken(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	crm, shop := w.client(gateway.Client{Name: "crm", Real: true}), w.client(gateway.Client{Name: "shop"})
	var genuine, own handed
	decode(t, w.get(apiBase+"/token", bearer(crm)...).body, &genuine)
	if !genuine.Real || !w.wx.Accepts(genuine.Token) || genuine.Expires < 7100 || genuine.Fence != w.fence() || w.handOuts() != 1 {
		t.Errorf("real: %+v, %d hand-outs in the journal", genuine, w.handOuts())
	}
	decode(t, w.get(apiBase+"/token", bearer(shop)...).body, &own)
	if own.Real || own.Expires != 7200 || w.handOuts() != 1 {
		t.Errorf("own: %+v, %d hand-outs in the journal", own, w.handOuts())
	}
	if call := w.get(domainIP + "?access_token=" + own.Token); call.Errcode != 0 {
		t.Error("a call with it: ", call.body)
	}
	var states struct {
		Accounts []struct {
			AppID string
			Live  bool
			Fence int64
		}
	}
	decode(t, w.get("/zhongkong/v1/accounts", bearer(shop)...).body, &states)
	if len(states.Accounts) != 1 || states.Accounts[0].AppID != appID || !states.Accounts[0].Live ||
		states.Accounts[0].Fence != genuine.Fence {
		t.Errorf("accounts: %+v", states)
	}
	w.mustNotShow(crm, shop, genuine.Token, own.Token)
}

// fence is that of the account's token in this gateway, 0 without one.
func (w *world) fence() int64 {
	for _, s := range w.Status() {
		if s.Key.AppID == appID {
			return s.Fence
		}
	}
	return 0
}

// TestAPIReject: by value. Only a token that WeChat refuses is renewed, once.
func TestAPIReject(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	key := w.client(gateway.Client{Name: "crm", Real: true})
	reject := func(value string) (reply, handed) {
		t.Helper()
		got := w.post(apiBase+"/reject", fmt.Sprintf(`{"access_token":%q}`, value), bearer(key)...)
		var h handed
		decode(t, got.body, &h)
		return got, h
	}
	var first handed
	decode(t, w.get(apiBase+"/token", bearer(key)...).body, &first)
	if got, _ := reject(first.Token); got.status != http.StatusConflict || got.header.Get("Retry-After") == "" ||
		strings.Contains(got.body, "errcode") {
		t.Errorf("a token that WeChat accepts: %d %s", got.status, got.body)
	}
	if _, h := reject("91_an-older-one"); h.Token != first.Token {
		t.Errorf("an older one: %+v", h)
	}
	if w.issued() != 1 {
		t.Fatalf("%d tokens were issued, want 1", w.issued())
	}

	v := newWorld(t, simulator.Options{}, nil)
	w, key = v, v.client(gateway.Client{Name: "crm", Real: true})
	decode(t, w.get(apiBase+"/token", bearer(key)...).body, &first)
	w.wx.Kill(appID)
	_, second := reject(first.Token)
	if second.Token == first.Token || !w.wx.Accepts(second.Token) || second.Fence <= first.Fence {
		t.Errorf("a token that WeChat refuses: %+v", second)
	}
	if _, again := reject(first.Token); again.Token != second.Token || w.issued() != 2 {
		t.Errorf("the same once more: %+v, %d tokens were issued, want 2", again, w.issued())
	}
	if n := w.handOuts(); n != 3 {
		t.Errorf("%d hand-outs in the journal, want 3", n)
	}
}

// TestAPIRejectOwn: a gateway token that is good stays; one that is not is replaced.
func TestAPIRejectOwn(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	key, other := w.client(gateway.Client{Name: "shop"}), w.client(gateway.Client{Name: "other"})
	token := w.token(key)
	for value, status := range map[string]int{token: 409, token + "A": 200, w.token(other): 200, "91_x": 200} {
		if got := w.post(apiBase+"/reject", fmt.Sprintf(`{"access_token":%q}`, value), bearer(key)...); got.status != status {
			t.Errorf("%.10s…: %d %s, want %d", value, got.status, got.body, status)
		}
	}
	if w.issued() > 1 {
		t.Errorf("%d tokens were issued, want 1", w.issued())
	}
}

// TestAPIRejectTicket: by value. The current ticket is renewed, at most once in ten
// minutes, and by the journal's leave; an older one leads to no fetch.
func TestAPIRejectTicket(t *testing.T) {
	shared := memory.New()
	w := join(t, weChat(t, simulator.Options{}), shared, nil)
	other := join(t, w.wx, shared, nil)
	key := w.client(gateway.Client{Name: "shop"})
	other.Look(t.Context())
	get := func(in *world) (ticket string) {
		t.Helper()
		var got struct{ Ticket string }
		decode(t, in.get(apiBase+"/tickets/jsapi", bearer(key)...).body, &got)
		return got.Ticket
	}
	reject := func(in *world, value string) (ticket string, answer reply) {
		t.Helper()
		answer = in.post(apiBase+"/tickets/jsapi/reject", fmt.Sprintf(`{"ticket":%q}`, value), bearer(key)...)
		var got struct{ Ticket string }
		decode(t, answer.body, &got)
		return got.Ticket, answer
	}
	fetches := func() (n int) {
		for _, e := range w.wx.Events() {
			if e.Path == simulator.TicketPath {
				n++
			}
		}
		return n
	}
	first := get(w)
	if get(other) != first {
		t.Fatal("two gateways of a store have two tickets")
	}
	w.wx.KillTicket(appID, simulator.JSAPI)
	second, answer := reject(w, first)
	if answer.status != http.StatusOK || second == "" || second == first || fetches() != 2 {
		t.Fatalf("%d %s, %d fetches", answer.status, answer.body, fetches())
	}
	if got, _ := reject(w, first); got != second || fetches() != 2 {
		t.Errorf("an older one: another ticket or a fetch, %d of them", fetches())
	}
	if _, answer := reject(w, second); answer.status != http.StatusConflict || answer.header.Get("Retry-After") == "" || fetches() != 2 {
		t.Errorf("again at once: %d %s, %d fetches", answer.status, answer.body, fetches())
	}
	if got, _ := reject(other, first); got != second || fetches() != 2 {
		t.Errorf("at the other gateway, which did not know: %d fetches", fetches())
	}
	uses, err := shared.Uses(t.Context(), 1)
	if err != nil || uses[0].Act != "reject ticket" || !strings.HasPrefix(uses[0].Detail, "jsapi #") {
		t.Errorf("%v %+v", err, uses)
	}

	// WeChat gives the ticket that lives again: it is the valid one.
	fresh := newWorld(t, simulator.Options{}, nil)
	key = fresh.client(gateway.Client{Name: "shop"})
	if _, answer := reject(fresh, get(fresh)); answer.status != http.StatusConflict ||
		!strings.Contains(answer.body, "the same ticket again") {
		t.Errorf("a ticket that lives: %d %s", answer.status, answer.body)
	}
	w.mustNotShow(key, first, second)
}

// TestAPIRefuses: every status that openapi.yaml lists is given, and nothing else.
func TestAPIRefuses(t *testing.T) {
	w := newWorld(t, simulator.Options{}, loginAt)
	const v1 = "/zhongkong/v1/"
	key := w.client(gateway.Client{Name: "shop", Accounts: []string{appID, "wx0"}, Returns: []string{shopOrigin + "/*"}})
	crm := w.client(gateway.Client{Name: "crm", Real: true})
	slow := w.client(gateway.Client{Name: "slow", Rate: 0.0001})
	narrow := w.client(gateway.Client{Name: "narrow", Paths: []string{"/cgi-bin/menu/get"}})
	bad := newWorld(t, simulator.Options{}, func(c *gateway.Config) { c.Accounts[0].Secret = custody.NewSecret("wrong-" + appSecret) })
	badKey := bad.client(gateway.Client{Name: "crm", Real: true})
	w.get(v1+"accounts", bearer(slow)...)
	w.get(apiBase+"/tickets/jsapi", bearer(key)...)
	const body = `{"access_token":"91_x"}`
	for _, row := range []struct {
		in      *world
		method  string
		target  string
		body    string
		key     string
		status  int
		errcode int
	}{
		{w, "GET", v1 + "accounts", "", "", 401, 41004},
		{w, "GET", v1 + "accounts", "", spoiled(key), 401, 40125},
		{w, "GET", v1 + "accounts", "", slow, 429, 45011},
		{w, "POST", v1 + "accounts", "", key, 405, 43001},
		{w, "POST", v1 + "openapi.yaml", "", "", 405, 43001},
		{w, "GET", v1 + "openapi.yaml", "", "", 200, 0},
		{w, "GET", apiBase + "/token", "", "", 401, 41004},
		{w, "GET", apiBase + "/token", "", slow, 429, 45011},
		{w, "GET", v1 + "nothing", "", key, 404, 40066},
		{w, "GET", v1 + "accounts/wx0/token", "", key, 403, 40013},
		{w, "GET", v1 + "accounts/" + otherApp + "/token", "", key, 403, 40013},
		{bad, "GET", apiBase + "/token", "", badKey, 503, 40125},
		{w, "GET", apiBase + "/reject", "", key, 405, 43002},
		{w, "POST", apiBase + "/reject", "", key, 400, 47001},
		{w, "POST", apiBase + "/reject", "{}", key, 400, 47001},
		{w, "POST", apiBase + "/reject", strings.Repeat(" ", 70<<10), key, 413, 45001},
		{w, "POST", apiBase + "/reject", body, "", 401, 41004},
		{w, "POST", apiBase + "/reject", body, slow, 429, 45011},
		{w, "POST", v1 + "accounts/wx0/reject", body, key, 403, 40013},
		{bad, "POST", apiBase + "/reject", body, badKey, 503, 40125},
		{w, "GET", apiBase + "/tickets/x", "", key, 400, 40035},
		{w, "GET", apiBase + "/tickets/jsapi", "", "", 401, 41004},
		{w, "GET", apiBase + "/tickets/jsapi", "", narrow, 403, 48001},
		{w, "GET", apiBase + "/tickets/jsapi", "", slow, 429, 45011},
		{w, "POST", apiBase + "/tickets/jsapi", "", key, 405, 43001},
		{bad, "GET", apiBase + "/tickets/jsapi", "", badKey, 503, 40125},
		{w, "GET", apiBase + "/tickets/jsapi/reject", "", key, 405, 43002},
		{w, "POST", apiBase + "/tickets/jsapi/reject", "{}", key, 400, 47001},
		{w, "POST", apiBase + "/tickets/x/reject", `{"ticket":"x"}`, key, 400, 40035},
		{w, "POST", apiBase + "/tickets/jsapi/reject", `{"ticket":"x"}`, "", 401, 41004},
		{w, "POST", apiBase + "/tickets/jsapi/reject", `{"ticket":"x"}`, narrow, 403, 48001},
		{w, "POST", apiBase + "/tickets/jsapi/reject", `{"ticket":"x"}`, slow, 429, 45011},
		{w, "POST", apiBase + "/tickets/jsapi/reject", strings.Repeat(" ", 70<<10), key, 413, 45001},
		{w, "POST", apiBase + "/tickets/jsapi/reject", `{"ticket":"x"}`, key, 200, 0},
		{bad, "POST", apiBase + "/tickets/jsapi/reject", `{"ticket":"x"}`, badKey, 503, 40125},
		{w, "GET", apiBase + "/events", "", "", 401, 41004},
		{w, "GET", apiBase + "/events", "", slow, 429, 45011},
		{w, "POST", apiBase + "/events", "", key, 405, 43001},
		{w, "GET", v1 + "accounts/wx0/events", "", key, 403, 40013},
		{w, "GET", apiBase + "/jsconfig?url=https://a.example/", "", key, 200, 0},
		{w, "GET", apiBase + "/jsconfig", "", key, 400, 40035},
		{w, "GET", apiBase + "/jsconfig?url=https://a.example/", "", "", 403, 48001},
		{w, "GET", apiBase + "/jsconfig?url=https://a.example/", "", spoiled(key), 401, 40125},
		{w, "GET", apiBase + "/jsconfig?url=https://a.example/", "", slow, 429, 45011},
		{w, "POST", apiBase + "/jsconfig", "", key, 405, 43001},
		{bad, "GET", apiBase + "/jsconfig?url=https://a.example/", "", badKey, 503, 40125},
		{w, "GET", v1 + "login", "", key, 405, 43002},
		{w, "POST", v1 + "login", `{"ticket":"x"}`, "", 401, 41004},
		{w, "POST", v1 + "login", `{"ticket":"x"}`, key, 400, 40029},
		{w, "POST", v1 + "login", "{}", key, 400, 47001},
		{w, "POST", v1 + "login", strings.Repeat(" ", 70<<10), key, 413, 45001},
		{w, "POST", v1 + "login", `{"ticket":"x"}`, slow, 429, 45011},
	} {
		var headers []string
		if row.key != "" {
			headers = bearer(row.key)
		}
		got := row.in.send(row.method, row.target, strings.NewReader(row.body), headers...)
		if got.status != row.status || got.Errcode != row.errcode {
			t.Errorf("%s %s %.20s: %d %s, want %d, %d", row.method, row.target, row.body, got.status, got.body, row.status, row.errcode)
		}
	}
	w.post(apiBase+"/reject", fmt.Sprintf(`{"access_token":%q}`, w.token(key)), bearer(key)...) // 409
	w.post(apiBase+"/reject", body, bearer(key)...)
	var ticket struct{ Ticket string }
	decode(t, w.get(apiBase+"/tickets/jsapi", bearer(key)...).body, &ticket)
	w.post(apiBase+"/tickets/jsapi/reject", fmt.Sprintf(`{"ticket":%q}`, ticket.Ticket), bearer(key)...) // 409: WeChat gives it again
	w.get(apiBase+"/token", bearer(key)...)
	w.get(v1+"accounts", bearer(key)...)
	w.redeem(key, w.arrive(w.browser(), loginOrigin+"/login/shop?appid="+appID+"&redirect_uri="+url.QueryEscape(shopOrigin+"/"), shopOrigin).Get("ticket"))
	w.listen(key).stop()
	w.Drain()
	w.get(apiBase+"/events", bearer(key)...)
	for range 25 {
		w.get(v1+"accounts", bearer(spoiled(key))...)
	}
	if got := w.get(v1+"accounts", bearer(spoiled(key))...); got.status != 401 || got.Errcode != 40125 { // as before, and no longer logged
		t.Errorf("many wrong keys: %d %s", got.status, got.body)
	}
	unknown := join(t, w.wx, closedStore(t), nil)
	unknown.get(v1+"accounts", bearer(key)...)
	unknown.redeem(key, "x")
	if unmet := contract().Unmet(v1); len(unmet) > 0 {
		t.Errorf("openapi.yaml lists what no answer was:\n%s", strings.Join(unmet, "\n"))
	}
	w.mustNotShow(key, crm, slow, narrow, badKey, appSecret)
}

// spoiled returns a key that nobody has.
func spoiled(key string) string {
	const at = 30
	c := "A"
	if key[at:at+1] == c {
		c = "B"
	}
	return key[:at] + c + key[at+1:]
}
