package simulator

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// Paths of qyapi.weixin.qq.com that no other of WeChat's hosts has.
const (
	corpTokenPath   = "/cgi-bin/gettoken" //nolint:gosec // a path, no credential
	corpTicketPath  = "/cgi-bin/get_jsapi_ticket"
	agentTicketPath = "/cgi-bin/ticket/get"
	corpSendPath    = "/cgi-bin/message/send"
	corpUserPath    = "/cgi-bin/auth/getuserinfo"
	corpAgentPath   = "/cgi-bin/agent/get"
	corpLoginPath   = "/wwlogin/sso/login" // of login.work.weixin.qq.com
)

// WeCom's limits, which count by minute and hour (企业微信 访问频率限制).
const (
	corpMinute   = 10_000 // of an API, for a corp
	corpHour     = 150_000
	corpTickets  = 400 // of tickets an hour, for a corp
	agentTickets = 100 // and for an app
	corpFaulty   = 2_000
)

// The errcodes that WeCom gives and the other hosts do not.
const (
	corpInvalidToken   = 40014
	corpForeignSecret  = 40091
	corpInvalidAgent   = 40056
	corpUntrusted      = 60020
	corpNoUser         = 60111
	corpNobody         = 81013
	corpForeignAgent   = 301002
	corpInvalidRequest = 40058
)

// corpTexts are errmsgs that package errcode has no text of. As users report them.
var corpTexts = map[int]string{
	corpNoUser:         "userid not found",
	corpNobody:         "user & party & tag all invalid",
	corpForeignAgent:   "not allow operate another agent with this accesstoken",
	corpInvalidAgent:   "invalid agentid",
	invalidMessageType: "invalid message type",
	emptyContent:       "text content is empty",
	mediaDataMissing:   "media data missing",
	invalidMediaType:   "invalid media type",
	invalidMediaID:     "invalid media_id",
	corpInvalidRequest: "invalid Request Parameter",
	invalidCode:        "invalid code",
	codeMissing:        "missing code",
}

// corp is what the apps of one corp share.
type corp struct {
	id string

	mu      sync.Mutex
	calls   map[string]*corpCalls // by path, or by path and app
	faulty  counter               // calls of gettoken, by the hour
	until   time.Time             // gettoken is blocked because of them
	tickets map[string]*ticket    // "" is the corp's own, the others are of apps
}

// corpCalls counts the calls of an API.
type corpCalls struct {
	minute, hour counter
	until        time.Time // it is blocked
}

// over counts a call, and reports whether it is one too many: then the API is blocked for
// a minute or an hour.
func (c *corpCalls) over(now time.Time, perMinute, perHour int) bool {
	if now.Before(c.until) {
		return true
	}
	switch {
	case perHour > 0 && c.hour.in(now.Unix()/3600) >= perHour:
		c.until = now.Add(time.Hour)
	case perMinute > 0 && c.minute.in(minute(now)) >= perMinute:
		c.until = now.Add(time.Minute)
	default:
		c.minute.add(minute(now))
		c.hour.add(now.Unix() / 3600)
		return false
	}
	return true
}

// of returns the count of a path.
func (c *corp) of(name string) *corpCalls {
	calls := c.calls[name]
	if calls == nil {
		calls = new(corpCalls)
		c.calls[name] = calls
	}
	return calls
}

// corpID and agentID are the halves of a WeCom app's AppID.
func (a Account) corpID() string  { id, _, _ := strings.Cut(a.AppID, ":"); return id }
func (a Account) agentID() string { _, id, _ := strings.Cut(a.AppID, ":"); return id }

func (a Account) checkWeCom() error {
	switch agent := a.agentID(); {
	case a.corpID() == "" || agent == "" || strings.Trim(agent, "0123456789") != "":
		return fmt.Errorf("the AppID of a WeCom app is its corpid and agentid, such as ww0123456789abcdef:1000002, and not %q", a.AppID)
	case a.Token != "" && a.AESKey == "":
		return fmt.Errorf("the AESKey of %s is empty: WeCom encrypts every push", a.AppID)
	case a.Mode != "" && a.Mode != Safe:
		return fmt.Errorf("the Mode of %s is %s: WeCom encrypts every push", a.AppID, a.Mode)
	}
	return nil
}

// addCorp makes the corp of a WeCom app, unless another of its apps has.
func (s *Simulator) addCorp(a *account) {
	if a.conf.Kind != WeCom {
		return
	}
	id := a.conf.corpID()
	a.agent = a.conf.agentID()
	if s.corps[id] == nil {
		s.corps[id] = &corp{id: id, calls: map[string]*corpCalls{}, tickets: map[string]*ticket{}}
	}
	own := s.corps[id]
	a.corp = own
	for name, owner := range map[string]string{"": id, a.appid: a.appid} {
		if own.tickets[name] == nil {
			own.tickets[name] = &ticket{random: source(s.options.Seed, owner, "wecom ticket")}
		}
	}
}

// corpRoutes are the paths of qyapi.weixin.qq.com that have an answer of their own.
func corpRoutes() map[string]endpoint {
	list := func(addresses string) func(*call) answer {
		return fixed(`{"ip_list":[` + addresses + `],"errcode":0,"errmsg":"ok"}`)
	}
	return map[string]endpoint{
		corpTokenPath:            {pool: Stable, read: readCorpFetch, serve: serveCorpFetch},
		DomainIPPath:             corpAPI(http.MethodGet, list(`"203.0.113.50","203.0.113.51"`)),
		"/cgi-bin/getcallbackip": corpAPI(http.MethodGet, list(`"203.0.113.60","203.0.113.61"`)),
		corpTicketPath:           corpAPI(http.MethodGet, serveCorpTicket),
		agentTicketPath:          corpAPI(http.MethodGet, serveAgentTicket),
		corpSendPath:             corpAPI(http.MethodPost, serveCorpSend),
		"/cgi-bin/user/get":      corpAPI(http.MethodGet, serveCorpUser),
		corpUserPath:             corpAPI(http.MethodGet, serveCorpLogin),
		corpAgentPath:            corpAPI(http.MethodGet, serveCorpAgent),
		uploadPath:               corpAPI(http.MethodPost, serveCorpUpload),
		"/cgi-bin/media/get":     corpAPI(http.MethodGet, serveCorpMedia),
	}
}

// ofCorp reports whether a request is for qyapi.weixin.qq.com: by its token, its Host, a
// path that only WeCom has, or because there are no other accounts.
func (s *Simulator) ofCorp(r *http.Request) bool {
	if len(s.corps) == 0 {
		return false
	}
	if t := s.lookUp(r.URL.Query().Get("access_token")); t != nil {
		return t.account.corp != nil
	}
	switch path := r.URL.Path; path {
	case corpTokenPath, corpTicketPath, agentTicketPath, corpSendPath, corpUserPath, corpAgentPath:
		return true
	default:
		return strings.HasPrefix(path, "/cgi-bin/") && (s.onlyCorps || strings.HasPrefix(r.Host, "qyapi."))
	}
}

// corpRoute finds the endpoint of a path of WeCom's.
func (s *Simulator) corpRoute(path string) endpoint {
	if e, ok := s.corpPaths[path]; ok {
		return e
	}
	return corpAPI("", serveUnknown)
}

// corpAPI is an API that is called with an app's token.
func corpAPI(method string, do func(*call) answer) endpoint {
	return endpoint{read: readAPI, serve: func(c *call) answer {
		if errcode := c.checkCorp(method); errcode != 0 {
			return c.refuse(errcode)
		}
		return do(c)
	}}
}

// checkCorp checks a call of an API, and returns the errcode to refuse it with. That the
// token is looked at before the address is an assumption.
func (c *call) checkCorp(method string) int {
	switch {
	case c.query.Get("access_token") == "":
		return tokenMissing
	case c.token == nil:
		return corpInvalidToken
	}
	c.account.mu.Lock()
	verdict, trusted, perMinute := c.token.verdict(c.now), c.account.whitelist.allows(c.caller), limit(c.account.conf.MinuteCalls, corpMinute)
	c.account.mu.Unlock()
	switch {
	case verdict != 0:
		return verdict
	case !trusted:
		return corpUntrusted
	}
	own := c.account.corp
	path := c.req.URL.Path
	own.mu.Lock()
	defer own.mu.Unlock()
	perHour := corpHour
	if path == corpTicketPath || path == agentTicketPath {
		perHour = corpTickets
		if own.of(path+" "+c.account.appid).over(c.now, 0, agentTickets) {
			return dailyLimit // 45009 is WeCom's for minutes and hours
		}
	}
	if own.of(path).over(c.now, perMinute, perHour) {
		return dailyLimit
	}
	switch {
	case method == http.MethodGet && c.req.Method != http.MethodGet:
		return requireGET
	case method == http.MethodPost && c.req.Method != http.MethodPost:
		return requirePOST
	}
	return 0
}

// readCorpFetch reads GET /cgi-bin/gettoken. The secret says which app it is.
func readCorpFetch(c *call) {
	c.fetch = fetch{AppID: c.query.Get("corpid"), Secret: c.query.Get("corpsecret")}
	if own := c.sim.corps[c.fetch.AppID]; own != nil {
		if a := c.sim.appOf(c.fetch.Secret, own); a != nil {
			c.account = a
		}
	}
}

// appOf returns the app that has a secret, among those of one corp, or of all where it is
// nil; nil when none has it.
func (s *Simulator) appOf(secret string, of *corp) *account {
	for _, a := range s.order {
		if a.corp == nil || of != nil && a.corp != of {
			continue
		}
		a.mu.Lock()
		found := a.conf.Secret == secret
		a.mu.Unlock()
		if found {
			return a
		}
	}
	return nil
}

// serveCorpFetch carries out GET /cgi-bin/gettoken: the token that lives, with what is left
// of its life, or a new one. It answers from any address.
func serveCorpFetch(c *call) answer {
	own := c.sim.corps[c.fetch.AppID]
	if own != nil {
		own.mu.Lock()
		defer own.mu.Unlock()
		if c.now.Before(own.until) || own.of(corpTokenPath).over(c.now, corpMinute, corpHour) {
			return c.refuse(dailyLimit)
		}
	}
	if errcode := c.checkCorpFetch(); errcode != 0 {
		if slot := c.now.Unix() / 3600; own != nil {
			if own.faulty.add(slot); own.faulty.in(slot) >= corpFaulty {
				own.until = c.now.Add(time.Hour)
			}
		}
		return c.refuse(errcode)
	}
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	p := &a.stable.pool
	t := p.current()
	if t == nil || !t.death.IsZero() && !c.now.Before(t.death) || t.end.Sub(c.now) < time.Second {
		p.stats.Issued++
		t = p.issue(c.now)
	}
	return ok(fmt.Sprintf(`{"errcode":0,"errmsg":"ok","access_token":"%s","expires_in":%d}`, t.value, seconds(t.end.Sub(c.now))))
}

func (c *call) checkCorpFetch() int {
	switch {
	case c.fetch.AppID == "":
		return appIDMissing
	case c.sim.corps[c.fetch.AppID] == nil:
		return invalidAppID
	case c.fetch.Secret == "":
		return secretMissing
	case c.account != c.sim.nobody:
		return 0
	case c.sim.appOf(c.fetch.Secret, nil) != nil: // of another corp: readCorpFetch has found none of this one
		return corpForeignSecret
	default:
		return invalidCredential
	}
}

func serveCorpTicket(c *call) answer { return c.corpTicket("") }

func serveAgentTicket(c *call) answer {
	if c.query.Get("type") != "agent_config" {
		return c.refuse(corpInvalidRequest)
	}
	return c.corpTicket(c.account.appid)
}

// corpTicket answers the ticket that lives, with what is left of its life, or a new one.
func (c *call) corpTicket(name string) answer {
	own := c.account.corp
	own.mu.Lock()
	defer own.mu.Unlock()
	t := own.tickets[name]
	t.stats.Calls++
	if t.value == "" || t.end.Sub(c.now) < time.Second {
		t.stats.Issued++
		t.value, t.end = makeTicket(t.random), c.now.Add(c.sim.options.Life)
	}
	return ok(fmt.Sprintf(`{"errcode":0,"errmsg":"ok","ticket":"%s","expires_in":%d}`, t.value, seconds(t.end.Sub(c.now))))
}

// named returns the ticket of a type. The corp's mutex is held.
func (c *corp) named(appid string, t TicketType) *ticket {
	if t == JSAPI {
		appid = ""
	}
	return c.tickets[appid]
}

func (c *corp) ticket(appid string, t TicketType, now time.Time) (value string, left time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.named(appid, t); now.Before(at.end) {
		return at.value, at.end.Sub(now)
	}
	return "", 0
}

func (c *corp) kill(appid string, t TicketType) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.named(appid, t).end = time.Time{}
}

// corpMessageTypes are what an app's message may be.
var corpMessageTypes = []string{
	"text", "image", "voice", "video", "file", "textcard", "news", "mpnews", "markdown", "miniprogram_notice", "template_card",
}

// serveCorpSend carries out POST /cgi-bin/message/send. What was sent is in
// Simulator.Events.
func serveCorpSend(c *call) answer {
	var in struct {
		To      string          `json:"touser"`
		Party   string          `json:"toparty"`
		Tag     string          `json:"totag"`
		Type    string          `json:"msgtype"`
		AgentID json.RawMessage `json:"agentid"` // a number, or a number in quotes
		Text    struct {
			Content string `json:"content"`
		} `json:"text"`
	}
	if !c.decode(&in) {
		return c.refuse(dataFormat)
	}
	agent := strings.Trim(string(in.AgentID), `"`)
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	var unknown []string
	reached := in.To == "@all" || in.Party != "" || in.Tag != ""
	for to := range strings.SplitSeq(in.To, "|") {
		switch {
		case to == "" || to == "@all":
		case c.account.follows(to):
			reached = true
		default:
			unknown = append(unknown, to)
		}
	}
	if errcode := c.checkAgent(agent); errcode != 0 {
		return c.refuse(errcode)
	}
	switch {
	case !slices.Contains(corpMessageTypes, in.Type):
		return c.refuse(invalidMessageType)
	case in.Type == "text" && in.Text.Content == "":
		return c.refuse(emptyContent)
	case !reached:
		return c.refuse(corpNobody)
	}
	return ok(fmt.Sprintf(`{"errcode":0,"errmsg":"ok","invaliduser":%s,"msgid":%s}`,
		quote(strings.Join(unknown, "|")), quote(letters(c.account.random, 64))))
}

// checkAgent refuses an agentid that is not the one of the token's app.
func (c *call) checkAgent(agent string) int {
	switch {
	case c.sim.accounts[c.account.corp.id+":"+agent] == nil:
		return corpInvalidAgent
	case agent != c.account.agent:
		return corpForeignAgent
	}
	return 0
}

// serveCorpAgent carries out GET /cgi-bin/agent/get.
func serveCorpAgent(c *call) answer {
	agent := c.query.Get("agentid")
	if errcode := c.checkAgent(agent); errcode != 0 {
		return c.refuse(errcode)
	}
	return ok(fmt.Sprintf(`{"errcode":0,"errmsg":"ok","agentid":%s,"name":"App %[1]s","close":0}`, agent))
}

// serveCorpUser carries out GET /cgi-bin/user/get.
func serveCorpUser(c *call) answer {
	id := c.query.Get("userid")
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if !c.account.follows(id) {
		return c.refuse(corpNoUser)
	}
	return ok(fmt.Sprintf(`{"errcode":0,"errmsg":"ok","userid":%s,"name":%[1]s,"department":[1],"status":1}`, quote(id)))
}

// serveCorpUpload carries out POST /cgi-bin/media/upload.
func serveCorpUpload(c *call) answer {
	kind := c.query.Get("type")
	if !slices.Contains([]string{"image", "voice", "video", "file"}, kind) {
		return c.refuse(invalidMediaType)
	}
	m, found := c.readMedia("media")
	if !found {
		return c.refuse(mediaDataMissing)
	}
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	m.id, m.kind, m.end = letters(a.random, 64), kind, c.now.Add(mediaLife)
	a.keepMedia(m)
	return ok(fmt.Sprintf(`{"errcode":0,"errmsg":"ok","type":"%s","media_id":"%s","created_at":"%d"}`, kind, m.id, c.sim.wall().Unix()))
}

// serveCorpMedia carries out GET /cgi-bin/media/get: the file itself. Media belong to the
// corp, so that any of its apps gets what one of them has uploaded.
func serveCorpMedia(c *call) answer {
	id := c.query.Get("media_id")
	for _, a := range c.sim.order {
		if a.corp != c.account.corp {
			continue
		}
		a.mu.Lock()
		i := slices.IndexFunc(a.media, func(m media) bool { return m.id == id && c.now.Before(m.end) })
		var m media
		if i >= 0 {
			m = a.media[i]
		}
		a.mu.Unlock()
		if i >= 0 {
			return m.file()
		}
	}
	return c.refuse(invalidMediaID)
}

// refuseCorp answers with an errcode as WeCom does: with a hint, the caller's address and
// where to read more; and at gettoken with the fields of a success, empty.
func (c *call) refuseCorp(errcode int, errmsg string) answer {
	empty := ""
	if c.req.URL.Path == corpTokenPath {
		empty = `,"access_token":"","expires_in":0`
	}
	n := mix(c.sim.options.Seed + c.sim.ridCount.Add(1)*0x9e3779b97f4a7c15)
	hint := fmt.Sprintf("%d_%d_%016x%016x", c.sim.wall().Unix(), n%1000, n, mix(n))
	return answer{
		status: http.StatusOK, errcode: errcode, contentType: "application/json; charset=UTF-8",
		body: fmt.Sprintf(`{"errcode":%d,"errmsg":%s%s}`, errcode, quote(fmt.Sprintf(
			"%s, hint: [%s], from ip: %s, more info at https://open.work.weixin.qq.com/devtool/query?e=%d", errmsg, hint, c.caller, errcode)), empty),
	}
}

// corpText returns the errmsg of an errcode up to the hint.
func corpText(code int) string {
	if info, known := errcode.LookupOn(errcode.WeCom, code); known && info.Text != "" {
		return info.Text
	}
	if text := corpTexts[code]; text != "" {
		return text
	}
	return "unknown error"
}

// makeUpMembers invents userids.
func makeUpMembers(r *rand.Rand) []string {
	all := make([]string, 3)
	for i := range all {
		all[i] = fmt.Sprintf("member%04d", r.IntN(10_000))
	}
	return all
}
