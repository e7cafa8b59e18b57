package simulator

import (
	"fmt"
	"slices"
	"strings"
)

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
