package simulator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
)

// Kind is what an account is. It decides how far its IP whitelist reaches.
type Kind int

// The kinds of accounts.
const (
	OfficialAccount Kind = iota // 公众号: the whitelist covers the token endpoints and every API
	MiniProgram                 // 小程序: the whitelist covers only calls that carry the AppSecret
)

// State is what WeChat holds against an account. Its value is the errcode with
// which the token endpoints then answer, at its place in the order of checks.
// Tokens that are already out stay alive.
type State int

// The states of an account.
const (
	Normal              State = 0
	SecretFrozen        State = 40243 // the AppSecret was frozen in the console
	Banned              State = 50004 // not allowed to use access_token, maybe as a punishment
	Frozen              State = 50007 // the account is frozen
	ThirdParty          State = 61024 // the appid is a third-party platform's
	ConfirmationPending State = 89501 // this IP already waits for the administrator
	ApprovalNeeded      State = 89503 // the administrator has to approve this call
	RefusedForDay       State = 89506 // the administrator refused twice: blocked for 24 h
	RefusedForHour      State = 89507 // the administrator refused once: blocked for 1 h
)

// Account is one account of WeChat's. For the limits, 0 means WeChat's own and a
// negative value means none.
type Account struct {
	AppID  string // such as "wx0123456789abcdef"
	Secret string // made up; it may be shown
	Kind   Kind
	State  State

	// Whitelist holds the addresses that may call: IPs and CIDRs, for a
	// MiniProgram also "a.b.c.*" and at most 10. Empty means that every address
	// may.
	Whitelist []string

	DailyFetches  int // /cgi-bin/token: 2000 a day (a test account has 200); then 45009
	MinuteFetches int // /cgi-bin/token: no limit, as WeChat does not publish its own; then 45011
	DailyStable   int // stable_token: 500,000 a day; then 45009
	MinuteStable  int // stable_token: 10,000 a minute; then 45011
	DailyForced   int // stable_token with force_refresh: 20 a day; then 45009
}

// check says whether the account can be, and returns its whitelist as read.
func (a Account) check() (whitelist, error) {
	if a.AppID == "" {
		return nil, errors.New("an AppID is empty")
	}
	if a.Secret == "" {
		return nil, fmt.Errorf("the Secret of %s is empty", a.AppID)
	}
	if a.Kind != OfficialAccount && a.Kind != MiniProgram {
		return nil, fmt.Errorf("the Kind of %s is %d, which does not exist", a.AppID, a.Kind)
	}
	if a.State != Normal && !a.State.known() {
		return nil, fmt.Errorf("the State of %s is %d, which does not exist", a.AppID, a.State)
	}
	list, err := parseWhitelist(a.Kind, a.Whitelist)
	if err != nil {
		return nil, fmt.Errorf("the Whitelist of %s: %w", a.AppID, err)
	}
	return list, nil
}

func (s State) known() bool {
	switch s {
	case SecretFrozen, Banned, Frozen, ThirdParty, ConfirmationPending, ApprovalNeeded, RefusedForDay, RefusedForHour:
		return true
	}
	return false
}

// account is an Account at work. mu guards everything in it, its tokens
// included, and is never held over a delay.
type account struct {
	sim   *Simulator
	appid string

	mu        sync.Mutex
	conf      Account
	whitelist whitelist
	classic   pool
	stable    stablePool
	apiCalls  int
	errcodes  map[int]int
}

func newAccount(s *Simulator, conf Account, list whitelist) *account {
	conf.Whitelist = slices.Clone(conf.Whitelist)
	a := &account{sim: s, appid: conf.AppID, conf: conf, whitelist: list, errcodes: map[int]int{}}
	a.classic = newPool(a, Classic)
	a.stable = stablePool{pool: newPool(a, Stable)}
	return a
}

// pool returns the pool of that name.
func (a *account) pool(p Pool) *pool {
	if p == Stable {
		return &a.stable.pool
	}
	return &a.classic
}

// makeUpAccount invents an account that anybody can see is one.
func makeUpAccount(seed uint64) Account {
	r := rand.New(source(seed, "account"))
	return Account{
		AppID:  fmt.Sprintf("wx%016x", r.Uint64()),
		Secret: fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()),
	}
}
