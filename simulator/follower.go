package simulator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// makeUpFollowers invents openids for an account that was given none.
func makeUpFollowers(r *rand.Rand) []string {
	all := make([]string, 3)
	for i := range all {
		all[i] = "o" + letters(r, openIDLength-1)
	}
	return all
}

const openIDLength = 28

// follows reports whether openid is one of the account's followers. The account's
// mutex is held.
func (a *account) follows(openid string) bool { return slices.Contains(a.conf.Followers, openid) }

// toFollower reads the openid in the body's touser and returns the errcode to
// refuse the call with.
func (c *call) toFollower(into any, openid *string) int {
	if !c.decode(into) {
		return dataFormat
	}
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if !c.account.follows(*openid) {
		return invalidOpenID
	}
	return 0
}

// messageTypes are what a customer service message may be.
var messageTypes = []string{
	"text", "image", "voice", "video", "music", "news", "mpnews", "mpnewsarticle", "msgmenu", "wxcard", "miniprogrampage", "link",
}

// serveCustomSend carries out POST /cgi-bin/message/custom/send. What was sent is
// in Simulator.Events.
func serveCustomSend(c *call) answer {
	var in struct {
		To   string `json:"touser"`
		Type string `json:"msgtype"`
		Text struct {
			Content string `json:"content"`
		} `json:"text"`
	}
	if errcode := c.toFollower(&in, &in.To); errcode != 0 {
		return c.refuse(errcode)
	}
	if !slices.Contains(messageTypes, in.Type) {
		return c.refuse(invalidMessageType)
	}
	if in.Type == "text" && in.Text.Content == "" {
		return c.refuse(emptyContent)
	}
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if errcode := c.account.say(in.To, c.now); errcode != 0 {
		return c.refuse(errcode)
	}
	return ok(`{"errcode":0,"errmsg":"ok"}`)
}

// serveTyping carries out POST /cgi-bin/message/custom/typing.
func serveTyping(c *call) answer {
	var in struct {
		To      string `json:"touser"`
		Command string `json:"command"`
	}
	if errcode := c.toFollower(&in, &in.To); errcode != 0 {
		return c.refuse(errcode)
	}
	if in.Command != "Typing" && in.Command != "CancelTyping" {
		return c.refuse(invalidCommand)
	}
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if last := c.account.conversations[in.To].last; last.IsZero() || c.now.Sub(last) > typingAfter {
		return c.refuse(typingTooLate)
	}
	return ok(`{"errcode":0,"errmsg":"ok"}`)
}

// serveUserInfo carries out GET /cgi-bin/user/info.
func serveUserInfo(c *call) answer {
	openid, lang := c.query.Get("openid"), c.query.Get("lang")
	if lang == "" {
		lang = "zh_CN"
	}
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if !c.account.follows(openid) {
		return c.refuse(invalidOpenID)
	}
	return ok(fmt.Sprintf(`{"subscribe":1,"openid":%s,"language":%s,"subscribe_time":%d,"remark":"","groupid":0,"tagid_list":[],`+
		`"subscribe_scene":"ADD_SCENE_SEARCH","qr_scene":0,"qr_scene_str":""}`, quote(openid), quote(lang), c.sim.since.Unix()))
}

// maxPage is how many openids user/get answers at once.
const maxPage = 10_000

// serveUserGet carries out GET /cgi-bin/user/get.
func serveUserGet(c *call) answer {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	all := c.account.conf.Followers
	page := all
	if next := c.query.Get("next_openid"); next != "" {
		at := slices.Index(all, next)
		if at < 0 {
			return c.refuse(invalidOpenID)
		}
		page = all[at+1:]
	}
	page = page[:min(len(page), maxPage)]
	if len(page) == 0 {
		return ok(fmt.Sprintf(`{"total":%d,"count":0,"next_openid":""}`, len(all)))
	}
	quoted := make([]string, len(page))
	for i, openid := range page {
		quoted[i] = quote(openid)
	}
	return ok(fmt.Sprintf(`{"total":%d,"count":%d,"data":{"openid":[%s]},"next_openid":%s}`,
		len(all), len(page), strings.Join(quoted, ","), quoted[len(quoted)-1]))
}
