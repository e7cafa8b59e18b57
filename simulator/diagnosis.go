package simulator

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// clear counts a call that may be made most times a month, and empties what it is
// there to empty. The account's mutex is held.
func (c *call) clear(used *counter, most int, empty func(*account)) answer {
	if used.in(month(c.now)) >= most {
		return c.refuse(clearLimit)
	}
	used.add(month(c.now))
	empty(c.account)
	return ok(`{"errcode":0,"errmsg":"ok"}`)
}

func clearAll(a *account) { clear(a.quotas) }

// serveClearQuota carries out POST /cgi-bin/clear_quota.
func serveClearQuota(c *call) answer {
	var in struct {
		AppID string `json:"appid"`
	}
	switch {
	case !c.decode(&in):
		return c.refuse(dataFormat)
	case in.AppID != c.account.appid:
		return c.refuse(invalidAppID)
	}
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	return c.clear(&c.account.clears, monthlyClears, clearAll)
}

// readClearQuotaV2 reads POST /cgi-bin/clear_quota/v2. WeChat's table puts the
// parameters into the body, its example into the query.
func readClearQuotaV2(c *call) {
	var in struct {
		AppID  string `json:"appid"`
		Secret string `json:"appsecret"`
	}
	if len(c.body) > 0 {
		c.fetch.err = decode(c.body, &in)
	}
	if in.AppID == "" && in.Secret == "" {
		in.AppID, in.Secret = c.query.Get("appid"), c.query.Get("appsecret")
	}
	c.fetch.AppID, c.fetch.Secret = in.AppID, in.Secret
	c.own()
}

// serveClearQuotaV2 carries it out. It takes the AppSecret and no token.
func serveClearQuotaV2(c *call) answer {
	switch {
	case c.req.Method != http.MethodPost:
		return c.refuse(requirePOST)
	case c.fetch.err != nil:
		return c.refuse(dataFormat)
	case c.fetch.AppID == "":
		return c.refuse(appIDMissing)
	case c.account == c.sim.nobody:
		return c.refuse(invalidAppID)
	}
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if errcode := c.checkSecret(); errcode != 0 {
		return c.refuse(errcode)
	}
	return c.clear(&c.account.clears, monthlyClears, clearAll)
}

// cgiPath reads the path that openapi/quota is asked about and returns the errcode
// to refuse it with.
func (c *call) cgiPath() (path string, errcode int) {
	var in struct {
		Path string `json:"cgi_path"`
	}
	switch {
	case !c.decode(&in):
		return "", dataFormat
	case strings.HasPrefix(in.Path, "/sns/"):
		return "", pathForbidden
	case strings.ContainsAny(in.Path, "?#") || !inFamily(in.Path):
		return "", pathUnknown
	}
	e := c.sim.route(in.Path)
	if e.api != nil && e.api.only != nil && !e.api.only(c.account.conf.Kind) {
		return "", pathForbidden
	}
	return in.Path, 0
}

// serveQuotaGet carries out POST /cgi-bin/openapi/quota/get.
func serveQuotaGet(c *call) answer {
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	path, errcode := c.cgiPath()
	if errcode != 0 {
		return c.refuse(errcode)
	}
	q := a.quota(path)
	used, most := q.day.in(day(c.now)), max(a.conf.perDay(path), 0)
	body := fmt.Sprintf(`{"errcode":0,"errmsg":"ok","quota":{"daily_limit":%d,"used":%d,"remain":%d}`, most, used, max(most-used, 0))
	if n := a.conf.perMinute(path); n > 0 {
		body += fmt.Sprintf(`,"rate_limit":{"call_count":%d,"refresh_second":60}`, n)
	}
	return ok(body + "}")
}

// serveQuotaClear carries out POST /cgi-bin/openapi/quota/clear.
func serveQuotaClear(c *call) answer {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	path, errcode := c.cgiPath()
	if errcode != 0 {
		return c.refuse(errcode)
	}
	return c.clear(&c.account.resets, monthlyResets, func(a *account) { delete(a.quotas, path) })
}

// serveCallbackCheck carries out POST /cgi-bin/callback/check: it looks up and
// pings nobody, but answers as if the address of the console were well.
func serveCallbackCheck(c *call) answer {
	var in struct {
		Action   string `json:"action"`
		Operator string `json:"check_operator"`
	}
	c.account.mu.Lock()
	target := c.account.conf.CallbackURL
	c.account.mu.Unlock()
	switch {
	case !c.decode(&in):
		return c.refuse(dataFormat)
	case !slices.Contains([]string{"dns", "ping", "all"}, in.Action):
		return c.refuse(invalidAction)
	case !slices.Contains([]string{"CHINANET", "UNICOM", "CAP", "DEFAULT"}, in.Operator):
		return c.refuse(invalidOperator)
	case target == "":
		return c.refuse(invalidCheckURL)
	}
	operator := in.Operator
	if operator == "DEFAULT" {
		operator = "UNICOM"
	}
	var parts []string
	if in.Action != "ping" {
		parts = append(parts, `"dns":[{"ip":"203.0.113.30","real_operator":"`+operator+`"}]`)
	}
	if in.Action != "dns" {
		parts = append(parts, `"ping":[{"ip":"203.0.113.30","from_operator":"`+operator+`","package_loss":"0%","time":"23.079ms"}]`)
	}
	return ok("{" + strings.Join(parts, ",") + "}")
}
