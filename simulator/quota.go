package simulator

import (
	"time"
)

// WeChat's own limits on what is not one path's use of a day.
const (
	minuteStable  = 10_000 // stable_token
	dailyForced   = 20     // stable_token with force_refresh
	monthlyClears = 10     // clear_quota, both forms together
	monthlyResets = 50     // openapi/quota/clear
)

// dailyCalls are the calls a day that WeChat documents (接口调用频次), of an
// account in production and of a test account (测试号). Other paths have no limit
// here.
var dailyCalls = map[string][2]int{
	TokenPath:                      {2_000, 200},
	StableTokenPath:                {500_000, 500_000},
	"/cgi-bin/menu/create":         {1_000, 100},
	"/cgi-bin/menu/get":            {10_000, 1_000},
	"/cgi-bin/menu/delete":         {1_000, 100},
	"/cgi-bin/media/upload":        {100_000, 500},
	"/cgi-bin/media/get":           {200_000, 1_000},
	"/cgi-bin/message/custom/send": {500_000, 50_000},
	"/cgi-bin/qrcode/create":       {100_000, 10_000},
	"/cgi-bin/user/get":            {500, 100},
	"/cgi-bin/user/info":           {5_000_000, 500_000},
}

// perDay returns how many calls of a path a day the account may make; 0 or less
// means any number.
func (a Account) perDay(path string) int {
	if n := a.DailyCalls[path]; n != 0 {
		return n
	}
	switch {
	case path == TokenPath && a.DailyFetches != 0:
		return a.DailyFetches
	case path == StableTokenPath && a.DailyStable != 0:
		return a.DailyStable
	case a.TestAccount:
		return dailyCalls[path][1]
	default:
		return dailyCalls[path][0]
	}
}

// perMinute is perDay for a minute.
func (a Account) perMinute(path string) int {
	switch path {
	case TokenPath:
		return a.MinuteFetches
	case StableTokenPath:
		return limit(a.MinuteStable, minuteStable)
	default:
		return a.MinuteCalls
	}
}

// limit reads a limit of Account: 0 means WeChat's own.
func limit(configured, wechat int) int {
	if configured == 0 {
		return wechat
	}
	return configured
}

// counter counts within one slot of time and starts over in the next.
type counter struct {
	slot int64
	n    int
}

func (c *counter) in(slot int64) int {
	if c.slot != slot {
		return 0
	}
	return c.n
}

func (c *counter) add(slot int64) {
	c.n = c.in(slot) + 1
	c.slot = slot
}

// quota is how often a path was used this minute and today.
type quota struct {
	minute, day counter
}

func (q *quota) use(now time.Time) {
	q.minute.add(minute(now))
	q.day.add(day(now))
}

// maxPaths bounds how many paths an account's calls are counted by; the paths
// that come later share one count.
const maxPaths = 512

// quota returns the count of a path. The account's mutex is held.
func (a *account) quota(path string) *quota {
	q := a.quotas[path]
	if q == nil {
		if len(a.quotas) >= maxPaths {
			path = ""
			if q = a.quotas[path]; q != nil {
				return q
			}
		}
		q = new(quota)
		a.quotas[path] = q
	}
	return q
}

// overQuota returns the errcode of the limit that a path has reached, or 0. The
// account's mutex is held.
func (a *account) overQuota(path string, now time.Time) int {
	q := a.quota(path)
	if most := a.conf.perMinute(path); most > 0 && q.minute.in(minute(now)) >= most {
		return minuteLimit
	}
	if most := a.conf.perDay(path); most > 0 && q.day.in(day(now)) >= most {
		return dailyLimit
	}
	return 0
}

// Quota is how much of a path's calls a day was used, for a test of how many calls a program
// makes.
type Quota struct {
	Path  string `json:"path"`
	Used  int    `json:"used"`  // today
	Limit int    `json:"limit"` // a day; 0 means none
}
