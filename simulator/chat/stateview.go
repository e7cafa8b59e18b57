package chat

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// tokenView is a pool's current token.
type tokenView struct {
	Pool   simulator.Pool
	Path   string
	Ending string // "" when there was none yet
	Value  string // only where it was asked for
	Left   int    // seconds, rounded, for the bar
	Life   int
	Words  string
	Level  string
	Issued int
	Calls  int
}

// Name is what people call the pool.
func (t tokenView) Name() string { return strings.TrimPrefix(t.Path, "/cgi-bin/") }

// Tokens are the pools' current tokens.
func (v *view) Tokens() []tokenView {
	stats := v.conf.Stats
	all := []tokenView{
		{Pool: simulator.Stable, Path: simulator.StableTokenPath, Issued: stats.Stable.Issued + stats.Stable.Outside, Calls: stats.Stable.Calls},
		{Pool: simulator.Classic, Path: simulator.TokenPath, Issued: stats.Classic.Issued + stats.Classic.Outside, Calls: stats.Classic.Calls},
	}
	if v.Corp() {
		all = all[:1]
		all[0].Path = corpTokenPath
	}
	for i := range all {
		t := &all[i]
		life := time.Duration(v.all.Life)
		t.Life = int(life / time.Second)
		at := slices.IndexFunc(v.conf.Tokens, func(one token) bool { return one.Pool == t.Pool })
		if at < 0 {
			t.Words, t.Level = v.T("Nobody has fetched one yet"), "none"
			continue
		}
		info := v.conf.Tokens[at]
		left := time.Duration(info.Left)
		t.Ending, t.Value = "…"+info.End, info.Value
		step := max(t.Life/200, 1) // the bar need not move every second
		t.Left = (int(left/time.Second) + step - 1) / step * step
		switch {
		case info.Errcode == 42001:
			t.Words, t.Level = v.T("Expired: APIs answer 42001"), "bad"
		case info.Errcode != 0:
			t.Words, t.Level = v.T("Dead: APIs answer %d", info.Errcode), "bad"
		case left < life/24:
			t.Words, t.Level = v.T("%s left", chinese.Span(v.Lang, left)), "warn"
		default:
			t.Words, t.Level = v.T("%s left", chinese.Span(v.Lang, left)), "ok"
		}
	}
	return all
}

// copyView is a button that copies the text of the element with an id.
type copyView struct{ ID, Name, Done string }

// Copy is the button for an element.
func (v *view) Copy(id string) copyView { return copyView{id, v.T("Copy"), v.T("Copied")} }

// Ahead says how far the clock was moved.
func (v *view) Ahead() string {
	var in struct{ Real, Clock time.Time }
	_ = v.page.wechat.call(v.page.ctx, http.MethodGet, "clock", nil, &in) // a clock that cannot be read is not ahead
	ahead := in.Clock.Sub(in.Real).Round(time.Second)
	if ahead < time.Second {
		return v.T("The clock shows the real time.")
	}
	return v.T("The clock is %s ahead.", chinese.Span(v.Lang, ahead))
}

// Quotas are today's counts.
func (v *view) Quotas() []simulator.Quota {
	if v.Corp() {
		return nil // WeCom counts by minute and hour
	}
	return v.conf.Quotas[:min(len(v.conf.Quotas), 12)]
}

// Whitelist is the list as it is typed.
func (v *view) Whitelist() string { return strings.Join(v.conf.Whitelist, ", ") }

// States are what WeChat may hold against an account.
func (v *view) States() []choice {
	all := []choice{{Value: "0", Name: v.T("Normal"), Here: v.conf.State == simulator.Normal}}
	for _, s := range []simulator.State{
		simulator.SecretFrozen, simulator.Banned, simulator.Frozen, simulator.ThirdParty,
		simulator.ConfirmationPending, simulator.ApprovalNeeded, simulator.RefusedForDay, simulator.RefusedForHour,
	} {
		info, _ := errcode.Lookup(int(s))
		text := info.Cause
		if v.Lang == lang.Chinese {
			text = info.CauseZH
		}
		all = append(
			all,
			choice{Value: strconv.Itoa(int(s)), Name: strconv.Itoa(int(s)) + " " + strings.TrimRight(text, ".。"), Here: v.conf.State == s},
		)
	}
	return all
}

// switchView is a fault that can be switched.
type switchView struct {
	Key  string
	Name string
	On   bool
	Hits int
}

// rules are the faults at work.
func (v *view) rules() []rule {
	all, _ := v.page.wechat.faults(v.page.ctx) // what cannot be read is not shown
	return all
}

// Switches are the faults that the page offers.
func (v *view) Switches() []switchView {
	rules := v.rules()
	var all []switchView
	for _, s := range switchesOf(v.AppID) {
		one := switchView{Key: s.key, Name: v.T(s.name)}
		for _, r := range rules {
			if r.Fault == s.of(v.AppID) {
				one.On, one.Hits = true, r.Hits
			}
		}
		all = append(all, one)
	}
	return all
}

// Others are the faults that were injected elsewhere.
func (v *view) Others() []switchView {
	var all []switchView
	for _, r := range v.rules() {
		f := r.Fault
		if slices.ContainsFunc(switchesOf(f.AppID), func(s faultSwitch) bool { return s.of(f.AppID) == f && f.AppID != "" }) {
			continue
		}
		text, _ := json.Marshal(f) // a Fault that is at work can be written
		all = append(all, switchView{Key: strconv.Itoa(r.ID), Name: string(text), Hits: r.Hits})
	}
	return all
}
