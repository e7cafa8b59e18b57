package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

// illness is a fault of the simulator's and what the doctor has to say about it.
type illness struct {
	// of names what of the simulator the row makes use of: "Simulator.Kill",
	// "Fault.Delay", "Cut.body", "Account.Whitelist", "Options.Skew", "State.50007".
	of   string
	api  string      // "stable" or "classic" alone; "" tries both
	do   func(*shop) // after a program has put its token into the store
	args string

	check, cause string // "" where all is well
	state        string // "" is problem
	errcode      int
	ip           string
	says         string // in what was found or what to do

	deadly bool // the fault itself ends the token in the store
	issues int  // tokens of stable_token that the doctor's look makes WeChat issue
}

func inject(f simulator.Fault) func(*shop) { return func(s *shop) { s.Inject(f) } }

func change(do func(*simulator.Account)) func(*shop) {
	return func(s *shop) {
		if err := s.Update(tokenAppID, do); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *shop) spend(path string, left int) {
	if err := s.Spend(tokenAppID, path, left); err != nil {
		s.t.Fatal(err)
	}
}

// pool is the one of the token in the store.
func (s *shop) pool() simulator.Pool { return simulator.Pool(s.env["WECHAT_TOKEN_API"]) }

// illnesses are all faults that the simulator can produce.
var illnesses = []illness{
	{of: "nothing"},

	// The account.
	{of: "Simulator.SetSecret Account.Secret", do: func(s *shop) { s.SetSecret(tokenAppID, "fedcba9876543210fedcba9876543210") }, check: "credentials", cause: "wrong_secret", errcode: 40125},
	{of: "Account.AppID", do: func(s *shop) { s.env["WECHAT_APPID"] = "wxfedcba9876543210" }, check: "credentials", cause: "unknown_appid", errcode: 40013, deadly: true},
	{of: "Simulator.SetWhitelist Account.Whitelist", do: func(s *shop) { s.SetWhitelist(tokenAppID, "192.0.2.1") }, check: "whitelist", cause: "ip_not_whitelisted", errcode: 40164, ip: "127.0.0.1", says: "Add 127.0.0.1 to the whitelist"},
	{of: "Account.Kind", do: change(func(a *simulator.Account) {
		a.Kind, a.Whitelist = simulator.MiniProgram, []string{"192.0.2.*"} // calls with a token are let through
	}), check: "whitelist", cause: "ip_not_whitelisted", errcode: 40164, ip: "127.0.0.1"},
	{of: "State.40243 Account.State Simulator.Update", do: change(func(a *simulator.Account) { a.State = simulator.SecretFrozen }), check: "credentials", cause: "secret_frozen", errcode: 40243},
	{of: "State.50004", do: change(func(a *simulator.Account) { a.State = simulator.Banned }), check: "credentials", cause: "account_punished", errcode: 50004},
	{of: "State.50007", do: change(func(a *simulator.Account) { a.State = simulator.Frozen }), check: "credentials", cause: "account_frozen", errcode: 50007},
	{of: "State.61024", do: change(func(a *simulator.Account) { a.State = simulator.ThirdParty }), check: "credentials", cause: "third_party_platform", errcode: 61024},
	{of: "State.89501", do: change(func(a *simulator.Account) { a.State = simulator.ConfirmationPending }), check: "whitelist", cause: "confirmation_pending", errcode: 89501},
	{of: "State.89503", do: change(func(a *simulator.Account) { a.State = simulator.ApprovalNeeded }), check: "whitelist", cause: "approval_needed", errcode: 89503},
	{of: "State.89506", do: change(func(a *simulator.Account) { a.State = simulator.RefusedForDay }), check: "whitelist", cause: "ip_refused_for_a_day", errcode: 89506},
	{of: "State.89507", do: change(func(a *simulator.Account) { a.State = simulator.RefusedForHour }), check: "whitelist", cause: "ip_refused_for_an_hour", errcode: 89507},

	// Limits.
	{of: "Account.DailyStable", do: change(func(a *simulator.Account) { a.DailyStable = 1 }), api: "stable", check: "credentials", cause: "daily_quota_used_up", errcode: 45009},
	{of: "Account.MinuteStable", do: func(s *shop) {
		change(func(a *simulator.Account) { a.MinuteStable = 1 })(s)
		s.Inject(simulator.Fault{Path: simulator.Fetches, Errcode: 45011}) // or the minute may change in between
	}, check: "credentials", cause: "minute_quota_used_up", errcode: 45011},
	{of: "Account.MinuteFetches", do: func(s *shop) {
		change(func(a *simulator.Account) { a.MinuteFetches = 1 })(s)
	}}, // it is not the doctor that fetches there
	{of: "Simulator.Spend", api: "classic", do: func(s *shop) { s.spend(simulator.TokenPath, 0) }, check: "quota", cause: "daily_quota_used_up", says: "2000 of 2000"},
	{of: "Simulator.Spend", api: "stable", do: func(s *shop) { s.spend(simulator.StableTokenPath, 20_000) }, check: "quota", cause: "quota_near", state: "warning"},
	{of: "Simulator.Spend", api: "classic", do: func(s *shop) { s.spend(simulator.TokenPath, 1_900) }, check: "quota", cause: "others_fetch", state: "warning", says: "programs on this store made 1"},
	{of: "Account.DailyFetches Account.TestAccount", api: "classic", do: change(func(a *simulator.Account) { a.TestAccount, a.DailyFetches = true, 1 }), check: "quota", cause: "daily_quota_used_up"},
	{of: "Account.DailyCalls", do: func(s *shop) {
		change(func(a *simulator.Account) { a.DailyCalls = map[string]int{simulator.DomainIPPath: 1} })(s)
		s.spend(simulator.DomainIPPath, 0)
	}, check: "token", cause: "daily_quota_used_up", errcode: 45009},
	{of: "Account.MinuteCalls", do: func(s *shop) {
		change(func(a *simulator.Account) { a.MinuteCalls = 1 })(s)
		s.Inject(simulator.Fault{Path: simulator.APICalls, AppID: tokenAppID, Errcode: 45011})
	}, check: "token", cause: "minute_quota_used_up", errcode: 45011},

	// The token.
	{of: "Simulator.Supersede", api: "classic", deadly: true, do: func(s *shop) { s.Supersede(tokenAppID); s.Supersede(tokenAppID) }, check: "token", cause: "token_superseded", errcode: 40001, says: "somebody else fetched a token"},
	{of: "Simulator.SupersedeStable", api: "stable", do: func(s *shop) { s.SupersedeStable(tokenAppID) }, check: "token", cause: "superseded", state: "warning"},
	{of: "Simulator.SupersedeStable", api: "stable", deadly: true, do: func(s *shop) { s.SupersedeStable(tokenAppID); s.SupersedeStable(tokenAppID) }, check: "token", cause: "token_superseded", errcode: 40001},
	{of: "Simulator.Kill", deadly: true, do: func(s *shop) { s.Kill(tokenAppID) }, check: "token", cause: "token_superseded", errcode: 40001, issues: 1},
	{of: "Simulator.KillToken", deadly: true, do: func(s *shop) { s.KillToken(s.Latest(tokenAppID, s.pool())) }, check: "token", cause: "token_superseded", errcode: 40001, issues: 1},
	{of: "Simulator.Refuse", api: "stable", deadly: true, do: func(s *shop) { s.Refuse(s.Latest(tokenAppID, simulator.Stable)) }, check: "token", cause: "token_refused", errcode: 40001, says: "zhongkong token refresh --force"},
	{of: "Simulator.Refuse", api: "classic", deadly: true, do: func(s *shop) { s.Refuse(s.Latest(tokenAppID, simulator.Classic)) }, check: "token", cause: "token_superseded", errcode: 40001},
	{of: "Clock.Advance", deadly: true, do: func(s *shop) { s.Clock.Advance(2 * time.Hour) }, check: "token", cause: "token_expired", errcode: 42001, issues: 1},

	// The clock.
	{of: "Simulator.SetSkew Options.Skew", do: func(s *shop) { s.SetSkew(10 * time.Minute) }, check: "clock", cause: "clock_off", says: "10m behind"},
	{of: "Simulator.SetSkew", do: func(s *shop) { s.SetSkew(-10 * time.Minute) }, check: "clock", cause: "clock_off", says: "10m ahead of"},
	{of: "Simulator.SetSkew", do: func(s *shop) { s.SetSkew(time.Minute) }, check: "clock", cause: "clock_off", state: "warning"},

	// The way to WeChat: for all calls, for fetches, for calls with a token.
	{of: "Simulator.Inject Fault.Status Fault.Path", do: inject(simulator.Fault{Status: 502}), check: "wechat", cause: "not_wechat", says: "HTTP 502"},
	{of: "Fault.Body Fault.ContentType", do: inject(simulator.Fault{Body: "<html>login</html>", ContentType: "text/html"}), check: "wechat", cause: "not_wechat", says: "text/html"},
	{of: "Fault.ContentType", do: inject(simulator.Fault{ContentType: "text/html"})}, // WeChat does that, too
	{of: "Cut.answer Fault.Cut", do: inject(simulator.Fault{Cut: simulator.CutAnswer}), check: "wechat", cause: "connection_cut"},
	{of: "Cut.body", do: inject(simulator.Fault{Cut: simulator.CutBody}), check: "wechat", cause: "connection_cut"},
	{of: "Cut.short", do: inject(simulator.Fault{Cut: simulator.CutShort}), check: "wechat", cause: "not_wechat"},
	{of: "Simulator.Delay Fault.Delay", do: func(s *shop) { s.Delay(simulator.Everything, time.Hour) }, args: "--wait 2s", check: "wechat", cause: "no_answer"},
	{of: "Fault.Delay", do: inject(simulator.Fault{Path: simulator.DomainIPPath, Times: 1, Delay: 2 * time.Second}), args: "--wait 8s", check: "wechat", cause: "slow", state: "warning"},
	{of: "Fault.Errcode", do: inject(simulator.Fault{Path: simulator.APICalls, Times: 1, Errcode: -1}), check: "wechat", cause: "wechat_busy", state: "warning", errcode: -1},

	{of: "Fault.Status", do: inject(simulator.Fault{Path: simulator.Fetches, Status: 502}), check: "credentials", cause: "not_wechat", says: "HTTP 502"},
	{of: "Fault.Body", do: inject(simulator.Fault{Path: simulator.Fetches, Body: `{"access_token":""}`}), check: "credentials", cause: "not_wechat"},
	{of: "Cut.answer", do: inject(simulator.Fault{Path: simulator.Fetches, Cut: simulator.CutAnswer}), check: "credentials", cause: "connection_cut"},
	{of: "Cut.body Fault.After", do: inject(simulator.Fault{Path: simulator.Fetches, Cut: simulator.CutBody, After: true}), check: "credentials", cause: "connection_cut"},
	{of: "Cut.short", do: inject(simulator.Fault{Path: simulator.Fetches, Cut: simulator.CutShort}), check: "credentials", cause: "not_wechat"},
	{of: "Fault.Delay", do: inject(simulator.Fault{Path: simulator.Fetches, Delay: time.Hour}), args: "--wait 4s", check: "credentials", cause: "no_answer"},
	{of: "Fault.AppID", do: inject(simulator.Fault{AppID: tokenAppID, Status: 503}), check: "credentials", cause: "not_wechat"},
	{of: "Fault.Rate", do: inject(simulator.Fault{Path: simulator.Fetches, Rate: 1, Status: 504}), check: "credentials", cause: "not_wechat"},
	{of: "Fault.Times", do: inject(simulator.Fault{Path: simulator.Fetches, Times: 1, Errcode: -1}), check: "credentials", cause: "wechat_busy", state: "warning", errcode: -1},
	{of: "Fault.Errmsg", do: inject(simulator.Fault{Path: simulator.Fetches, Errcode: 40164, Errmsg: "invalid ip, not in whitelist"}), check: "whitelist", cause: "ip_not_whitelisted", errcode: 40164, says: "Add the address"},
	{of: "Fault.Errmsg", do: inject(simulator.Fault{Path: simulator.Fetches, Errcode: 40125, Errmsg: "invalid appsecret " + tokenSecret}), check: "credentials", cause: "wrong_secret", errcode: 40125},

	{of: "Fault.Status", do: inject(simulator.Fault{Path: simulator.APICalls, AppID: tokenAppID, Status: 502}), check: "token", cause: "not_wechat"},
	{of: "Cut.answer", do: inject(simulator.Fault{Path: simulator.APICalls, AppID: tokenAppID, Cut: simulator.CutAnswer}), check: "token", cause: "connection_cut"},
	{of: "Fault.Errcode", do: inject(simulator.Fault{Path: simulator.APICalls, AppID: tokenAppID, Errcode: 40164}), check: "token", cause: "ip_not_whitelisted", errcode: 40164, ip: "127.0.0.1"},
}

// harmless are what the simulator has and no program that keeps a token suffers
// from. What concerns pushes is in TestDoctorCallbackFaults.
var harmless = map[string][]string{
	"Simulator": {
		"Accepts", "Accounts", "Admin", "ClearFaults", "Deliver", "Events", "Faults", "Handler", "Inspect", "Latest", "NewRequest", "Push",
		"Hear", "Menu", "Quotas", "Redact", "RoundTripper", "RoundTripperFrom", "ServeHTTP", "Stats", "Ticket", "Verify",
		"Authorize", "MiniCode", "PhoneCode", "Revoke", "SessionKey", "UserData", "PhoneNumber", // of users, whose logins need no token of the account
		"KillTicket", // no API takes a ticket, so that nobody can tell
	},
	"Clock":   {"Now"},
	"Account": {"OriginalID", "Followers", "Templates", "Token", "AESKey", "Mode", "Format", "CallbackURL", "ReceiverID", "DailyForced", "LoginDomains", "OpenPlatform", "Signing"},
	"Options": {
		"Accounts", "Life", "Overlap", "Seed", "Clock", "Events", "AcceptChunked", "AcceptEscapes", "Patience", "Observe", "MadeUp",
	},
}

// TestDoctorKnowsEveryFault: what the simulator learns needs a row.
func TestDoctorKnowsEveryFault(t *testing.T) {
	t.Parallel()
	var all []string
	for _, row := range illnesses {
		all = append(all, strings.Fields(row.of)...)
	}
	need := func(kind string, names ...string) {
		for _, name := range names {
			if !slices.Contains(harmless[kind], name) && !slices.Contains(all, kind+"."+name) {
				t.Errorf("no row is about %s.%s", kind, name)
			}
		}
	}
	fields := func(of any) (names []string) {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(of)) {
			if f.IsExported() {
				names = append(names, f.Name)
			}
		}
		return names
	}
	methods := func(of any) (names []string) {
		for method := range reflect.TypeOf(of).Methods() {
			names = append(names, method.Name)
		}
		return names
	}
	need("Simulator", methods(new(simulator.Simulator))...)
	need("Clock", methods(new(simulator.Clock))...)
	need("Account", fields(simulator.Account{})...)
	need("Options", fields(simulator.Options{})...)
	need("Fault", fields(simulator.Fault{})...)
	cuts := 0
	for c := simulator.CutNothing + 1; ; c++ {
		name, err := c.MarshalText()
		if err != nil {
			break
		}
		need("Cut", string(name))
		cuts++
	}
	states := 0
	for _, info := range errcode.All() {
		_, err := simulator.New(
			simulator.Options{Accounts: []simulator.Account{{AppID: tokenAppID, Secret: tokenSecret, State: simulator.State(info.Code)}}},
		)
		if err == nil {
			need("State", fmt.Sprint(info.Code))
			states++
		}
	}
	if cuts != 3 || states < 8 {
		t.Errorf("%d cuts and %d states were found", cuts, states)
	}
}

// diagnosis is what --json prints.
type diagnosis struct {
	Version, Problems, Warnings int
	OK                          bool
	Checks                      []struct {
		Check, Account, Subject, State, Cause, IP, Found, Do string

		Errcode int
		Took    *int64 `json:"took_ms"`
	}
	ToDo []string
}

func (d diagnosis) String() string {
	var s strings.Builder
	for _, c := range d.Checks {
		fmt.Fprintf(&s, "%-8s %-13s %-20s %5d %s\n", c.State, c.Check, c.Cause, c.Errcode, c.Found)
	}
	return s.String() + strings.Join(d.ToDo, "\n")
}

// examine runs the doctor for programs and, in Chinese, for people. Nothing shows a
// secret, and the exit code follows the problems.
func (s *shop) examine(args string, secrets ...string) diagnosis {
	s.t.Helper()
	d, out := s.diagnose(args)
	env := maps.Clone(s.env)
	env["LANG"] = "zh_CN.UTF-8"
	code, people, errs := started(s.t.Context(), env, append([]string{"doctor"}, strings.Fields(args)...)...)
	if errs != "" || strings.Contains(people, "\x1b") || strings.Contains(people, "%!") || strings.Contains(out, "%!") || code > exitFailed {
		s.t.Errorf("%d, standard error %q, or colours in a pipe, or a broken format\n%s%s", code, errs, people, out)
	}
	for _, secret := range append(secrets, tokenSecret, s.env["WECHAT_APPSECRET"], s.Latest(tokenAppID, simulator.Stable),
		s.Latest(tokenAppID, simulator.Classic)) {
		if secret != "" && strings.Contains(out+people, secret) {
			s.t.Errorf("a secret is shown\n%s%s", out, people)
		}
	}
	return d
}

// diagnose runs the doctor for programs.
func (s *shop) diagnose(args string) (d diagnosis, out string) {
	s.t.Helper()
	line := append([]string{"doctor", "--json"}, strings.Fields(args)...)
	code, out, errs := started(s.t.Context(), s.env, line...)
	decoder := json.NewDecoder(strings.NewReader(out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil || d.Version != 1 || errs != "" {
		s.t.Fatalf("%v, %d\n%s%s", err, code, out, errs)
	}
	want := exitOK
	if d.Problems > 0 {
		want = exitFailed
	}
	problems := 0
	for _, c := range d.Checks {
		if c.State == "problem" {
			problems++
			if c.Do == "" || c.Cause == "" {
				s.t.Errorf("%s is a problem without a cause or a remedy: %s", c.Check, c.Found)
			}
		}
		if c.Found == "" || c.Took == nil || c.Check == "" {
			s.t.Errorf("a check has no name, finding or time: %+v", c)
		}
	}
	if code != want || d.OK != (problems == 0) || d.Problems != problems || (problems > 0) != (len(d.ToDo) > 0) && d.Warnings == 0 {
		s.t.Errorf("exit code %d, want %d; %d problems\n%s", code, want, problems, out)
	}
	return d, out
}

// record is what the store has of the token.
func (s *shop) record() custody.Record {
	s.t.Helper()
	store, err := sqlite.Open(s.t.Context(), s.database, sqlite.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	key := custody.Key{Kind: "access_token", AppID: tokenAppID, API: s.env["WECHAT_TOKEN_API"], Host: strings.TrimPrefix(s.URL, "http://")}
	record, err := store.Load(s.t.Context(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	return record
}

// wants checks that a diagnosis names the cause, and has no other problem.
func (d diagnosis) wants(t *testing.T, row illness) {
	t.Helper()
	state := row.state
	if state == "" {
		state = "problem"
	}
	found := row.check == ""
	for _, c := range d.Checks {
		switch {
		case c.Check == row.check && c.Cause == row.cause && c.State == state && !found:
			found = true
			if c.Errcode != row.errcode || c.IP != row.ip || !strings.Contains(c.Found+c.Do, row.says) {
				t.Errorf("%+v; want errcode %d, IP %q, %q", c, row.errcode, row.ip, row.says)
			}
		case c.Cause == "slow", c.Cause == "store_slow": // so is the machine
		case c.State == "problem", c.State == "warning":
			t.Errorf("%s is a %s, too: %s, %s", c.Check, c.State, c.Cause, c.Found)
		}
	}
	if !found {
		t.Errorf("no %s of %s with the cause %s", state, row.check, row.cause)
	}
	if t.Failed() {
		t.Logf("\n%v", d)
	}
}

// TestDoctorFaults: of each fault the right cause is named, and nothing is taken:
// the token that lives goes on living, in the store and at WeChat, and no fetch is
// made at /cgi-bin/token.
func TestDoctorFaults(t *testing.T) {
	t.Parallel()
	for i, row := range illnesses {
		for _, api := range []string{"stable", "classic"} {
			if row.api != "" && row.api != api {
				continue
			}
			t.Run(fmt.Sprintf("%d %s %s", i, row.of, api), func(t *testing.T) {
				t.Parallel()
				s := newShop(t, api)
				s.run("get", exitOK)
				token, before := s.Latest(tokenAppID, s.pool()), s.record()
				if row.do != nil {
					row.do(s)
				}
				count := s.Stats(tokenAppID)
				args := row.args
				if args == "" {
					args = "--wait 60s"
				}
				d := s.examine(args)
				d.wants(t, row)

				after := s.Stats(tokenAppID)
				if after.Classic.Calls != count.Classic.Calls || after.Stable.Forced != count.Stable.Forced {
					t.Errorf("%+v: it fetched from /cgi-bin/token, or forced a refresh", after)
				}
				issued, most := after.Stable.Issued-count.Stable.Issued, row.issues
				if api == "classic" {
					most = 1 // the first of stable_token, which is nobody's
				}
				if issued > most {
					t.Errorf("%d tokens were issued, want %d", issued, most)
				}
				if s.Accepts(token) == row.deadly && row.of != "Account.AppID" {
					t.Errorf("the token lives: %v", s.Accepts(token))
				}
				if now := s.record(); now.Value != before.Value || now.Fence != before.Fence || !now.End.Equal(before.End) ||
					string(now.Notes) != string(before.Notes) {
					t.Errorf("the store's record is another one: %+v, before %+v", now, before)
				}
			})
		}
	}
}

// TestDoctorErrcodes: each errcode of a token endpoint is named, with its remedy,
// and the token that lives is left alone.
func TestDoctorErrcodes(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	s.run("get", exitOK)
	for _, info := range append(errcode.All(), errcode.Info{Code: 99999}) {
		if info.Class == errcode.Call && info.Source != errcode.Wire {
			continue // one API's own: all are diagnosed like these
		}
		s.ClearFaults()
		s.Inject(simulator.Fault{Path: simulator.Fetches, Errcode: info.Code})
		d, _ := s.diagnose("--wait 60s")
		at := errcode.AtTokenEndpoint(info.Code)
		check, state := "credentials", "problem"
		if at.PerHost {
			check = "whitelist"
		}
		if info.Code == -1 {
			state = "warning"
		}
		found := false
		for _, c := range d.Checks {
			if c.Check != check {
				continue
			}
			found = true
			remedy := at.Remedy
			if c.IP != "" {
				remedy = strings.Replace(remedy, "the address", c.IP, 1)
			}
			if c.Errcode != info.Code || c.State != state || c.Cause == "" || c.Do != remedy {
				t.Errorf("%d: %+v", info.Code, c)
			}
		}
		if !found {
			t.Errorf("%d: nothing was found:\n%v", info.Code, d)
		}
	}
	if n := s.Stats(tokenAppID); n.Stable.Issued != 1 || n.Classic.Calls != 0 {
		t.Errorf("%+v", n)
	}
}
