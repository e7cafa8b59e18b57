package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

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
