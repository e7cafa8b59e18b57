package doctor

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
)

// The journal of a store, as far as it is looked at.
const (
	journalLines = 1000
	youngTime    = 24 * time.Hour
	youngMost    = 3
	wasRefused   = "the token was refused" // begins the reason of such a renewal
)

var beijing = time.FixedZone("UTC+8", 8*60*60)

// journal returns the newest lines of key, newest first, and none where the store
// keeps none.
func (x *examination) journal(ctx context.Context, key custody.Key) []custody.Entry {
	journal, ok := x.store.(custody.Journal)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	lines, err := journal.Journal(ctx, key, journalLines)
	if err != nil {
		return nil // a store that fails is found by others
	}
	return lines
}

// begun counts the fetches since a time, and those among them whose reason begins so.
func begun(lines []custody.Entry, since time.Time, reason string) (n int) {
	for _, l := range lines {
		if l.Event == custody.EventBegin && !l.At.Before(since) && strings.HasPrefix(l.Detail, reason) {
			n++
		}
	}
	return n
}

// dyingYoung reports tokens that were refused again and again before their end.
func (x *examination) dyingYoung(a Account, record custody.Record, lines []custody.Entry) (Finding, bool) {
	n := begun(lines, record.Now.Add(-youngTime), wasRefused)
	if n < youngMost {
		return Finding{}, false
	}
	f := Finding{Check: Token, Account: a.AppID, State: Warning, Cause: "tokens_die_young"}
	f.Found = text("tokens were refused before their end %d times in 24 hours: another system fetches for %s as well", "24 小时内有 %d 次 token 提前失效：还有其他系统在获取 %s 的 token", n, a.AppID)
	f.Do = text("Let the other system take its token from this store or a gateway, or let both use stable_token (WECHAT_TOKEN_API=stable).",
		"请让另一个系统改从这个存储或网关取 token，或双方都改用 stable_token（WECHAT_TOKEN_API=stable）。")
	return f, true
}

// quota asks WeChat how often the account's way to a token was used today, and
// compares that with what the store knows.
func (x *examination) quota(ctx context.Context, a Account, client *platform.Client, value custody.Secret, lines []custody.Entry) Finding {
	f := Finding{Check: Quota, Account: a.AppID, State: Skipped}
	path := tokenPaths[a.TokenAPI]
	var answer struct {
		Quota struct {
			Limit int `json:"daily_limit"`
			Used  int `json:"used"`
		} `json:"quota"`
	}
	err := client.Post(
		ctx,
		"/cgi-bin/openapi/quota/get?"+url.Values{"access_token": {value.Reveal()}}.Encode(),
		map[string]string{"cgi_path": path},
		&answer,
	)
	now := time.Now().In(beijing)
	year, month, day := now.Date()
	own := begun(lines, time.Date(year, month, day, 0, 0, 0, 0, beijing), "")
	limit := map[platform.TokenAPI]int{platform.Classic: 1800, platform.Stable: 5000}[a.TokenAPI]
	if a.Daily > 0 {
		limit = a.Daily
	}
	used, most := answer.Quota.Used, answer.Quota.Limit
	switch {
	case a.Daily >= 0 && own*10 >= limit*9:
		f.State, f.Cause = Warning, "own_limit_near"
		if own >= limit {
			f.State, f.Cause = Problem, "own_limit_used_up"
		}
		f.Found = text("programs on this store fetched %d times today, of %d that they may", "这个存储的程序今天已获取 %d 次，自设上限为 %d 次", own, limit)
		f.Do = text("Find out why so many tokens are fetched: zhongkong token status --lines 50 shows the reasons. The count begins anew at midnight in Beijing.",
			"请查明为什么获取得这么频繁：zhongkong token status --lines 50 会列出原因。次数在北京时间零点清零。")
	case err != nil || most <= 0:
		f.Found = text("WeChat does not tell it", "微信没有给出")
		if refused, ok := errors.AsType[*platform.Error](err); ok {
			f.Errcode = refused.Code
			f.Found = text("WeChat does not tell it (errcode %d)", "微信没有给出（errcode %d）", refused.Code)
		}
	case (most-used)*10 <= most:
		f.State, f.Cause = Warning, "quota_near"
		if used >= most {
			f.State, f.Cause = Problem, "daily_quota_used_up"
		}
		f.Found = text("%d of %d fetches of %s are used today, %d of them by programs on this store", "今天 %[3]s 已用 %[1]d 次，上限 %[2]d 次，其中这个存储的程序用了 %[4]d 次", used, most, path, own)
		f.Do = text("Find who fetches so often; programs on this store need about 15 a day. It begins anew at midnight in Beijing. clear_quota empties the count, 10 times a month.",
			"请找出谁在频繁获取；使用本存储的程序每天只需约 15 次。次数在北京时间零点清零，也可以用 clear_quota 清零（每月 10 次）。")
	case a.TokenAPI == platform.Classic && used > own+2:
		f.State, f.Cause = Warning, "others_fetch"
		f.Found = text("WeChat counts %d fetches of %s today, and programs on this store made %d: others fetch too, and end their tokens", "今天微信记录了 %d 次 %s，而这个存储的程序只获取了 %d 次：还有别人在获取，会互相顶掉 token", used, path, own)
		f.Do = text("Find the other programs of %s, and let them take their token from this store or a gateway, or use stable_token everywhere.",
			"请找出还有哪些程序在获取 %s 的 token，让它们改从这个存储或网关取，或全部改用 stable_token。", a.AppID)
	default:
		f.State, f.Found = OK, text("%d of %d fetches are used today", "今天已用 %d 次，上限 %d 次", used, most)
	}
	return f
}
