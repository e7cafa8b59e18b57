package simulator

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
)

// Kind is what an account is. It decides how far its IP whitelist reaches.
type Kind int

// The kinds of accounts.
const (
	OfficialAccount Kind = iota // 公众号: the whitelist covers the token endpoints and every API
	MiniProgram                 // 小程序: the whitelist covers only calls that carry the AppSecret
	Website                     // 网站应用 of the Open Platform, for QR login: has users instead of followers
	WeCom                       // an app of a corp in 企业微信: see Account.AppID; its followers are members, by userid
)

var kinds = []string{OfficialAccount: "official", MiniProgram: "mini", Website: "website", WeCom: "wecom"}

// String returns what MarshalText writes.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kinds) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return kinds[k]
}

// MarshalText writes a kind as "official", "mini", "website" or "wecom".
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (k *Kind) UnmarshalText(text []byte) error {
	i := slices.Index(kinds, string(text))
	if i < 0 {
		return fmt.Errorf("%q is no kind of account: official, mini, website and wecom exist", text)
	}
	*k = Kind(i)
	return nil
}

// State is what WeChat holds against an account. Its value is the errcode with
// which the token endpoints then answer, at its place in the order of checks.
// Tokens that are already out stay alive.
type State int

// The states of an account.
const (
	Normal              State = 0     // nothing: calls are answered
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
	AppID  string `json:"appid"`            // such as "wx0123456789abcdef"; of WeCom corpid and agentid: "ww0123456789abcdef:1000002"
	Secret string `json:"secret,omitempty"` // made up; it may be shown
	Kind   Kind   `json:"kind"`             // what it may call, and what its whitelist covers
	State  State  `json:"state,omitempty"`  // to test how an app takes a frozen account

	// Whitelist holds the addresses that may call: IPs and CIDRs, for a
	// MiniProgram also "a.b.c.*" and at most 10. Empty means that every address
	// may. WeCom calls it 企业可信IP, and it does not cover gettoken.
	Whitelist []string `json:"whitelist,omitempty"`

	DailyFetches  int            `json:"daily_fetches,omitempty"`  // /cgi-bin/token: 2000 a day (a test account has 200); then 45009
	MinuteFetches int            `json:"minute_fetches,omitempty"` // /cgi-bin/token: no limit, as WeChat does not publish its own; then 45011
	DailyStable   int            `json:"daily_stable,omitempty"`   // stable_token: 500,000 a day; then 45009
	MinuteStable  int            `json:"minute_stable,omitempty"`  // stable_token: 10,000 a minute; then 45011
	DailyForced   int            `json:"daily_forced,omitempty"`   // stable_token with force_refresh: 20 a day; then 45009
	DailyCalls    map[string]int `json:"daily_calls,omitempty"`    // by path, for every other API; then 45009
	MinuteCalls   int            `json:"minute_calls,omitempty"`   // of each API: no limit, as WeChat does not publish its own; then 45011
	TestAccount   bool           `json:"test_account,omitempty"`   // a test account (测试号): its daily limits are lower

	// OriginalID is the account's name in messages (gh_…). "" means a made-up one.
	OriginalID string `json:"original_id,omitempty"`

	// Followers are the openids of who follows. None means three made-up ones.
	Followers []string `json:"followers,omitempty"`

	// Templates are the template_ids of the account's template messages (模板消息). None
	// means a made-up one; /cgi-bin/template/get_all_private_template lists them.
	Templates []string `json:"templates,omitempty"`

	// Token is the Token of the console's message push (消息推送), 3 to 32 letters
	// and digits. Without one nothing can be pushed.
	Token string `json:"token,omitempty"`

	// AESKey is the console's EncodingAESKey, 43 letters and digits. Compatible
	// and safe mode need it.
	AESKey string `json:"aes_key,omitempty"`

	// Mode is the console's 消息加解密方式. "" means Safe with an AESKey, Plain
	// without one.
	Mode Mode `json:"mode,omitempty"`

	// Format is the console's 数据格式. "" means XML. With JSON a WeCom app is a bot
	// (智能机器人), whose messages are for nobody in particular.
	Format Format `json:"format,omitempty"`

	// CallbackURL is the console's server address: where messages go that are
	// pushed without an address of their own.
	CallbackURL string `json:"callback_url,omitempty"`

	// LoginDomains are the console's 网页授权域名, or a website application's 授权回调域:
	// hosts that the authorize page returns to. None means every host.
	LoginDomains []string `json:"login_domains,omitempty"`

	// OpenPlatform is the Open Platform account (开放平台账号) that the account is bound to.
	// The n-th follower of each account that is bound to the same one is the same person,
	// with one unionid. "" means none, and users have no unionid.
	OpenPlatform string `json:"open_platform,omitempty"`

	// Signing are the keys of signed and encrypted API calls (服务端 API 签名加密). Nil means
	// that they are not switched on in the console.
	Signing *Signing `json:"signing,omitempty"`

	// ReceiverID is the appid that encrypted messages are for: that of the
	// third-party platform (第三方平台) which serves the account. "" means AppID.
	ReceiverID string `json:"receiver_id,omitempty"`
}

// Mode is how messages are pushed (消息加解密方式), to test an app in each of them.
type Mode string

// The modes.
const (
	Plain      Mode = "plain"      // 明文模式
	Compatible Mode = "compatible" // 兼容模式: plain fields and Encrypt side by side
	Safe       Mode = "safe"       // 安全模式: Encrypt alone
)

var modes = []Mode{Plain, Compatible, Safe}

// Format is how messages are written (数据格式), to test an app with either.
type Format string

// The formats.
const (
	XML  Format = "xml"  // of every account that does not choose
	JSON Format = "json" // WeChat offers it to mini programs
)

var formats = []Format{XML, JSON}

// complete fills in the names that can be made up. They depend on the appid alone,
// so that a message that another process pushes is from a follower whom this one
// knows.
func (a Account) complete() Account {
	r := rand.New(source(0, a.AppID, "names"))
	if a.OriginalID == "" && a.Kind == WeCom {
		a.OriginalID = a.corpID()
	}
	if len(a.Followers) == 0 && a.Kind == WeCom {
		a.Followers = makeUpMembers(r)
	}
	if a.OriginalID == "" {
		a.OriginalID = fmt.Sprintf("gh_%012x", r.Uint64()>>16)
	}
	if len(a.Followers) == 0 {
		a.Followers = makeUpFollowers(r)
	}
	if len(a.Templates) == 0 && a.Kind == OfficialAccount {
		a.Templates = []string{letters(rand.New(source(0, a.AppID, "templates")), templateIDLength)}
	}
	return a.clone()
}

func (a Account) mode() Mode {
	switch {
	case a.Mode != "":
		return a.Mode
	case a.AESKey != "":
		return Safe
	default:
		return Plain
	}
}

func (a Account) format() Format {
	if a.Format == "" {
		return XML
	}
	return a.Format
}

func (a Account) receiverID() string {
	if a.ReceiverID == "" {
		return a.AppID
	}
	return a.ReceiverID
}

// clone returns a copy that shares nothing.
func (a Account) clone() Account {
	a.Whitelist = slices.Clone(a.Whitelist)
	a.Followers = slices.Clone(a.Followers)
	a.Templates = slices.Clone(a.Templates)
	a.LoginDomains = slices.Clone(a.LoginDomains)
	a.DailyCalls = maps.Clone(a.DailyCalls)
	if a.Signing != nil {
		signing := *a.Signing
		signing.Paths = slices.Clone(signing.Paths)
		a.Signing = &signing
	}
	return a
}

// check says whether the account can be, and returns its whitelist as read.
func (a Account) check() (whitelist, error) {
	if a.AppID == "" {
		return nil, errors.New("an AppID is empty")
	}
	if a.Secret == "" {
		return nil, fmt.Errorf("the Secret of %s is empty", a.AppID)
	}
	if a.Kind < OfficialAccount || a.Kind > WeCom {
		return nil, fmt.Errorf("the Kind of %s is %d, which does not exist", a.AppID, a.Kind)
	}
	if a.State != Normal && !a.State.known() {
		return nil, fmt.Errorf("the State of %s is %d, which does not exist", a.AppID, a.State)
	}
	if a.Kind == WeCom {
		if err := a.checkWeCom(); err != nil {
			return nil, err
		}
	}
	list, err := parseWhitelist(a.Kind, a.Whitelist)
	if err != nil {
		return nil, fmt.Errorf("the Whitelist of %s: %w", a.AppID, err)
	}
	if err := a.checkPush(); err != nil {
		return nil, err
	}
	if a.Signing != nil {
		if _, err := a.Signing.keys(); err != nil {
			return nil, fmt.Errorf("the account %s cannot be simulated: %w", a.AppID, err)
		}
	}
	return list, nil
}

// checkPush checks what belongs to the pushing of messages, as the console does.
// Its errors do not show what a secret is.
func (a Account) checkPush() error {
	if a.Token != "" && (len(a.Token) < 3 || len(a.Token) > 32 || !alphanumeric(a.Token)) {
		return fmt.Errorf("the Token of %s has to be 3 to 32 letters and digits", a.AppID)
	}
	if _, err := parseAESKey(a.AESKey); a.AESKey != "" && err != nil {
		return fmt.Errorf("the AESKey of %s %w", a.AppID, err)
	}
	if a.Mode != "" && !slices.Contains(modes, a.Mode) {
		return fmt.Errorf("the Mode of %s is %q: plain, compatible and safe exist", a.AppID, a.Mode)
	}
	if a.mode() != Plain && a.AESKey == "" {
		return fmt.Errorf("the Mode of %s is %s, which needs an AESKey", a.AppID, a.Mode)
	}
	if a.Format != "" && !slices.Contains(formats, a.Format) {
		return fmt.Errorf("the Format of %s is %q: xml and json exist", a.AppID, a.Format)
	}
	if a.CallbackURL != "" {
		if _, err := parseTarget(a.CallbackURL); err != nil {
			return fmt.Errorf("the CallbackURL of %s: %w", a.AppID, err)
		}
	}
	return nil
}

func (s State) known() bool {
	switch s {
	case SecretFrozen, Banned, Frozen, ThirdParty, ConfirmationPending, ApprovalNeeded, RefusedForDay, RefusedForHour:
		return true
	}
	return false
}

// MakeUpAccount invents an official account in safe mode, which depends on seed
// alone.
func MakeUpAccount(seed uint64) Account {
	r := rand.New(source(seed, "account"))
	a := Account{
		AppID:  fmt.Sprintf("wx%016x", r.Uint64()),
		Secret: fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()),
		Token:  letters(r, 16),
		AESKey: letters(r, aesKeyLen),
	}
	return a.complete()
}

const (
	templateIDLength = 43 // as WeChat's, which apps may store in a column of that size
	maxTemplates     = 25 // WeChat: an account has at most 25
)

// parseTarget reads a server address.
func parseTarget(address string) (*url.URL, error) {
	if address == "" {
		return nil, errors.New("there is none: give one, or the account a CallbackURL")
	}
	target, err := url.Parse(address)
	switch {
	case err != nil && strings.Contains(address, "://"):
		return nil, fmt.Errorf("%q cannot be read as a URL", address)
	case err != nil:
		return nil, fmt.Errorf("%q has to begin with http:// or https:// and a host", address)
	case target.Scheme != "http" && target.Scheme != "https" || target.Host == "":
		return nil, fmt.Errorf("%q has to begin with http:// or https:// and a host", address)
	}
	target.Fragment = ""
	if target.Path == "" {
		target.Path = "/"
	}
	return target, nil
}

// makeUpFollowers invents openids for an account that was given none.
func makeUpFollowers(r *rand.Rand) []string {
	all := make([]string, 3)
	for i := range all {
		all[i] = "o" + letters(r, openIDLength-1)
	}
	return all
}

// openIDLength is that of WeChat's openids, so that made-up ones fit where real ones do.
const openIDLength = 28

// corpID and agentID are the halves of a WeCom app's AppID.
func (a Account) corpID() string { id, _, _ := strings.Cut(a.AppID, ":"); return id }

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

// makeUpMembers invents userids.
func makeUpMembers(r *rand.Rand) []string {
	all := make([]string, 3)
	for i := range all {
		all[i] = fmt.Sprintf("member%04d", r.IntN(10_000))
	}
	return all
}
