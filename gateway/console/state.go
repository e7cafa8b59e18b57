package console

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// level says how an account is, the worst first.
type level int

const (
	levelNone    level = iota // there is no token, and why is known
	levelFailing              // there is a token, but the last attempt to renew it failed
	levelWaiting              // nothing is known yet
	levelFine
)

// String is the level's name in the style sheet.
func (l level) String() string { return [...]string{"bad", "warn", "wait", "ok"}[l] }

func levelOf(a gateway.AccountState) level {
	switch {
	case a.Failure != nil && !a.Live:
		return levelNone
	case a.Failure != nil:
		return levelFailing
	case !a.Live:
		return levelWaiting
	default:
		return levelFine
	}
}

// row is an account as the page shows it.
type row struct {
	v       *view
	state   gateway.AccountState
	journal journal
}

// worstFirst orders accounts: trouble first, then by appid.
func worstFirst(a, b gateway.AccountState) int {
	return cmp.Or(cmp.Compare(levelOf(a), levelOf(b)), strings.Compare(a.Key.AppID, b.Key.AppID))
}

// The parts of a row, for the templates.
func (r row) Name() string                        { return r.state.Name }
func (r row) AppID() string                       { return r.state.Key.AppID }
func (r row) ID() string                          { return "account-" + r.state.Key.AppID }
func (r row) Level() string                       { return levelOf(r.state).String() }
func (r row) Link() string                        { return accountPath(r.state.Key.AppID) }
func (r row) Live() bool                          { return r.state.Live }
func (r row) Admin() bool                         { return r.state.Admin }
func (r row) Fence() int64                        { return r.state.Fence }
func (r row) T(text string, args ...any) string   { return r.v.T(text, args...) }
func (r row) API() string                         { return apiName(r.state) }
func accountPath(appID string) string             { return Path + "accounts/" + appID }
func (v *view) span(d time.Duration) string       { return chinese.Span(v.Lang, d) }
func (v *view) T(text string, args ...any) string { return chinese.Say(v.Lang, text, args...) }

// apiName is the end of the path from which an account's token is fetched.
func apiName(a gateway.AccountState) string {
	switch {
	case a.WeCom():
		return "gettoken"
	case platform.TokenAPI(a.Key.API) == platform.Classic:
		return "token"
	default:
		return "stable_token"
	}
}

// called is what people call an account: its name, if it has one, and its appid.
func called(a gateway.AccountState) string { return both(a.Name, a.Key.AppID) }

// both is a name for people in front of what identifies its bearer.
func both(name, id string) string {
	if name == "" {
		return id
	}
	return name + " " + id
}

// find returns an account that is there.
func (v *view) find(appID string) (a gateway.AccountState, found bool) {
	at, found := slices.BinarySearchFunc(
		v.all,
		appID,
		func(a gateway.AccountState, appID string) int { return strings.Compare(a.Key.AppID, appID) },
	)
	if !found {
		return a, false
	}
	return v.all[at], true
}

// called is what people call an account, by its appid; it need not be there.
func (v *view) called(appID string) string {
	a, _ := v.find(appID)
	return both(a.Name, appID)
}

// Life is what the bar is of, in seconds; Left is how far it goes, in steps: it need
// not move every second.
func (r row) Life() int { return max(1, int(r.state.Life/time.Second)) }

// Left is what is left of Life.
func (r row) Left() int {
	step := max(r.Life()/200, 1)
	return min(r.Life(), (int(r.state.Left/time.Second)+step-1)/step*step)
}

// Lasting says how long the token lives.
func (r row) Lasting() string {
	if !r.state.Live {
		return r.T("No token")
	}
	return r.T("%s left", r.v.span(r.state.Left))
}

// Of says how long it lived at first.
func (r row) Of() string {
	if !r.state.Live {
		return ""
	}
	return r.T("of %s", r.v.span(r.state.Life))
}

// Bar is the bar in words.
func (r row) Bar() string {
	if !r.state.Live {
		return r.T("The token of %s: there is none", called(r.state))
	}
	return r.T("The token of %s: %s of %s left", called(r.state), r.v.span(r.state.Left), r.v.span(r.state.Life))
}

// Next says when the next renewal or attempt is.
func (r row) Next() string {
	switch f := r.state.Failure; {
	case f != nil && f.Class == custody.ClassFatal:
		return r.T("after a restart")
	case f != nil && f.RetryAfter >= time.Second:
		return r.T("next attempt in %s", r.v.span(f.RetryAfter))
	case f != nil || !r.state.Live || r.state.Renewal == 0:
		return r.T("now")
	default:
		return r.T("in %s", r.v.span(r.state.Renewal))
	}
}

// Fetches says how many fetches are left today, as far as that is known.
func (r row) Fetches() string {
	n, more := r.journal.today(time.Now())
	switch {
	case r.state.DailyFetches == 0:
		return r.T("no limit")
	case !r.journal.known:
		return "–"
	case more:
		return r.T("at most %s", lang.Number(max(0, r.state.DailyFetches-n)))
	default:
		return lang.Number(max(0, r.state.DailyFetches-n))
	}
}

// FetchesOf is the limit.
func (r row) FetchesOf() string {
	if r.state.DailyFetches == 0 || !r.journal.known {
		return ""
	}
	return r.T("of %s", lang.Number(r.state.DailyFetches))
}

// Scarce reports whether few fetches are left.
func (r row) Scarce() bool {
	n, _ := r.journal.today(time.Now())
	return r.state.DailyFetches > 0 && r.journal.known && r.state.DailyFetches-n < r.state.DailyFetches/10
}

// State is the state in a word or two.
func (r row) State() string {
	switch levelOf(r.state) {
	case levelNone:
		return r.T("No token")
	case levelFailing:
		return r.T("Renewal fails")
	case levelWaiting:
		return r.T("Loading…")
	default:
		if r.state.Renewal == 0 {
			return r.T("Renewing…")
		}
		return r.T("Valid")
	}
}

// Cause and Remedy say what is wrong and what to do; "" when nothing is.
func (r row) Cause() string { cause, _ := r.v.explain(r.state.Failure); return cause }

// Remedy is what to do.
func (r row) Remedy() string { _, remedy := r.v.explain(r.state.Failure); return remedy }

// Code is WeChat's errcode, 0 when it gave none.
func (r row) Code() int {
	if r.state.Failure == nil {
		return 0
	}
	return r.state.Failure.Code
}

// Text is the failure in its own words.
func (r row) Text() string { return failureOf(r.state) }

// Origin says how the token came here.
func (r row) Origin() string {
	switch r.state.Origin {
	case custody.OriginFetched:
		return r.T("this gateway fetched it")
	case custody.OriginStore:
		return r.T("another gateway, or an earlier run, fetched it")
	default:
		return "–"
	}
}

// addressed finds the address that is not in the whitelist, as platform writes it.
var addressed = regexp.MustCompile(`The address is ([0-9a-fA-F.:]+)\. `)

// explain says why an attempt failed, and who has to do what, in the view's language.
func (v *view) explain(f *custody.Error) (cause, remedy string) {
	if f == nil {
		return "", ""
	}
	switch {
	case f.Code != 0:
		ip := ""
		if refused, ok := errors.AsType[*platform.Error](f); ok {
			ip = refused.IP
		} else if found := addressed.FindStringSubmatch(f.Text); found != nil {
			ip = found[1]
		}
		return v.meaning(f.Key.AppID, f.Code, ip)
	case errors.Is(f, custody.ErrDailyLimit):
		return v.T("Today's fetches are used up."), v.T("Find out who fetches so often, or raise daily_fetches. The day ends at midnight, UTC+8.")
	case errors.Is(f, custody.ErrRateLimit):
		return v.T("The fetches of this hour or minute are used up."), v.T("Find out who fetches so often.")
	case errors.Is(f, custody.ErrStore):
		return v.T("The store does not answer."), v.T("See whether it runs and can be reached from here; the gateway's log has its error.")
	case errors.Is(f, custody.ErrSealKey):
		return v.T("The stored token was not sealed with a key of this gateway."),
			v.T("Give all gateways of this store the same ZHONGKONG_SEAL_KEY.")
	case errors.Is(f, custody.ErrRefused):
		return v.T("WeChat refuses this account's token."), v.T("See what its console says; another renewal would not help now.")
	case v.Lang == lang.Chinese && f.Class == custody.ClassTransient:
		return v.T("WeChat did not answer as it should."), f.Text
	default:
		return sentence(f.Text), ""
	}
}

// meaning is the cause and remedy of an errcode with which an account's fetch was refused.
func (v *view) meaning(appID string, code int, ip string) (cause, remedy string) {
	info := errcode.AtTokenEndpoint(code)
	if _, _, isApp := shape.App(appID); isApp {
		info, _ = errcode.LookupOn(errcode.WeCom, code)
	}
	cause, remedy = info.Cause, info.Remedy
	if v.Lang == lang.Chinese {
		cause, remedy = info.CauseZH, info.RemedyZH
	}
	if ip != "" {
		remedy = v.T("The address is %s.", ip) + v.space() + remedy
	}
	return withCode(v.Lang, cause, code), remedy
}

// withCode puts a code before the full stop.
func withCode(l lang.Lang, cause string, code int) string {
	if l == lang.Chinese {
		return fmt.Sprintf("%s（%d）。", strings.TrimSuffix(cause, "。"), code)
	}
	return fmt.Sprintf("%s (%d).", strings.TrimSuffix(cause, "."), code)
}

// sentence begins with a capital and ends with a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	if 'a' <= text[0] && text[0] <= 'z' {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	if last, _ := utf8.DecodeLastRuneInString(text); !strings.ContainsRune(".!?。", last) {
		text += "."
	}
	return text
}

// health is the state of all accounts in a sentence.
type health struct {
	Level string
	Text  string
	More  string // about the worst account
	Link  string
	Name  string
}

// Health sums the accounts up.
func (v *view) Health() health {
	count := map[level]int{}
	for _, a := range v.all {
		count[levelOf(a)]++
	}
	n := len(v.all)
	worst := func(h health) health {
		a := slices.MinFunc(v.all, worstFirst)
		cause, remedy := v.explain(a.Failure)
		h.Name, h.Link = called(a), accountPath(a.Key.AppID)
		h.More = strings.TrimSpace(cause + v.space() + remedy)
		return h
	}
	switch {
	case n == 0:
		return health{Level: "wait", Text: v.T("There is no account yet.")}
	case count[levelNone] == 1 && n == 1:
		return worst(health{Level: "bad", Text: v.T("The account has no token.")})
	case count[levelNone] == 1:
		return worst(health{Level: "bad", Text: v.T("1 of %s accounts has no token.", lang.Number(n))})
	case count[levelNone] > 0:
		return worst(health{Level: "bad", Text: v.T("%[1]s of %[2]s accounts have no token.", lang.Number(count[levelNone]), lang.Number(n))})
	case v.away:
		return health{Level: "warn", Text: v.T("The store does not answer."), More: v.AsOf()}
	case count[levelFailing] == 1:
		return worst(health{Level: "warn", Text: v.T("Every account has a token, but one cannot be renewed.")})
	case count[levelFailing] > 0:
		return worst(health{Level: "warn", Text: v.T("Every account has a token, but %s cannot be renewed.", lang.Number(count[levelFailing]))})
	case count[levelWaiting] > 0:
		return health{Level: "wait", Text: v.T("%[1]s of %[2]s accounts are being loaded…", lang.Number(count[levelWaiting]), lang.Number(n))}
	case v.down == 1:
		return health{
			Level: "warn",
			Text:  v.T("Every account has a valid token, but one system is not responding to pushes."),
			More:  v.T("Its waiting pushes are listed below."),
		}
	case v.down > 1:
		return health{
			Level: "warn",
			Text:  v.T("Every account has a valid token, but %d systems are not responding to pushes.", v.down),
			More:  v.T("Their waiting pushes are listed below."),
		}
	case n == 1:
		return health{Level: "ok", Text: v.T("The account has a valid token.")}
	default:
		return health{Level: "ok", Text: v.T("All %s accounts have a valid token.", lang.Number(n))}
	}
}
