package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/gateway/journal"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
)

const minAdminKey = 32 // characters

// Account is a WeChat account of the gateway, or an app of WeCom (企业微信).
type Account struct {
	AppID  string         // of an app of WeCom, corpid:agentid
	Secret custody.Secret // the AppSecret, or the app's Secret

	// TokenAPI is the way to the real token. Empty means platform.Stable.
	TokenAPI platform.TokenAPI

	// DailyFetches bounds the fetches of a Beijing day over all gateways. 0 means
	// 5,000 (stable) or 1,800 (classic); a negative value means no limit.
	DailyFetches int

	// Signing signs and encrypts the calls of its paths (服务端 API 签名加密), whichever program
	// makes them, and verifies and decrypts the answers. Its AppID may be left empty. A call
	// that its program has signed passes untouched. Nil does nothing.
	Signing *platform.Signing

	// Callback is what WeChat pushes, and to whom it goes. Nil means that the gateway
	// takes no pushes of the account.
	Callback *Callback
}

// accountFields are the fields of typed, by the names of the configuration file.
var accountFields = []string{"appid", "secret", "callback.token", "callback.aes_key"}

// typed finds values that are in each other's place, with an error that is a
// [*shape.Error] over accountFields.
func (a Account) typed() error {
	if app, isApp := a.weCom(); isApp {
		if a.TokenAPI != "" && a.TokenAPI != platform.Stable || a.Signing != nil || a.Callback != nil {
			return fmt.Errorf("%s is an app of WeCom, which has no token_api and no signing, "+
				"and whose callbacks the gateway does not take yet", a.AppID)
		}
		if err := shape.Check(shape.Field{Name: "corpid", Kind: shape.AppID, Value: app.CorpID}); err != nil {
			return err
		}
		return app.Check()
	}
	var callback Callback
	if a.Callback != nil {
		callback = *a.Callback
	}
	return shape.Check(
		shape.Field{Name: accountFields[0], Kind: shape.AppID, Value: a.AppID},
		shape.Field{Name: accountFields[1], Kind: shape.AppSecret, Value: a.Secret.Reveal()},
		shape.Field{Name: accountFields[2], Kind: shape.Token, Value: callback.Token.Reveal()},
		shape.Field{Name: accountFields[3], Kind: shape.AESKey, Value: callback.AESKey.Reveal()},
	)
}

// weCom returns the app of WeCom that the account is, and whether it is one.
func (a Account) weCom() (app wecom.App, isApp bool) {
	corp, agent, isApp := strings.Cut(a.AppID, ":")
	return wecom.App{CorpID: corp, AgentID: agent, Secret: a.Secret}, isApp && shape.IsAccount(a.AppID)
}

// equal leaves Callback out: its change touches no token.
func (a Account) equal(b Account) bool {
	return a.AppID == b.AppID && a.TokenAPI == b.TokenAPI && a.DailyFetches == b.DailyFetches && a.Secret.Equal(b.Secret) &&
		sameSigning(a.Signing, b.Signing)
}

// Settings are what a configuration file says:
//
//	listen: 127.0.0.1:8300       # the address that programs call
//	store: sqlite:zhongkong.db   # default: ZHONGKONG_STORE
//	accounts:
//	  - appid: wx0123456789abcdef
//	    secret: {env: SHOP_APPSECRET}   # or {file: /run/secrets/shop}, or the AppSecret itself
//	    token_api: stable               # or classic
//
// All of it is in docs/gateway.md.
type Settings struct {
	Listen    string // "" means 127.0.0.1:8300
	PlainHTTP bool   // plain HTTP may be served on other addresses than loopback, by the main listener
	TLS       TLS
	Admin     Admin
	Store     string
	APIBase   string
	Log       Log
	Login     Login
	Timing    custody.Timing // of every renewal; a zero field means its default

	// DrainGrace is how long new calls are taken after the program was told to end, while
	// /readyz says 503: a load balancer has to notice. Zero means 5 s, a
	// negative value not at all.
	DrainGrace time.Duration

	Journal Journal

	// TrustedProxies are the reverse proxies whose X-Forwarded-For is believed.
	TrustedProxies Proxies

	Accounts []Account
}

// String shows no password: that of a store stands in its URL. Other secrets hide
// themselves.
func (s Settings) String() string {
	type shown Settings // without this method
	s.Store, s.APIBase = withoutPassword(s.Store), withoutPassword(s.APIBase)
	return fmt.Sprintf("%+v", shown(s))
}

// GoString is String for %#v.
func (s Settings) GoString() string { return s.String() }

// LogValue implements [slog.LogValuer].
func (s Settings) LogValue() slog.Value { return slog.StringValue(s.String()) }

// withoutPassword returns a URL without what may be a secret in it: user, password and
// query. What is no URL is hidden whole.
func withoutPassword(text string) string {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return ""
	case err != nil || u.Scheme == "":
		return "[hidden]"
	case u.User == nil && u.RawQuery == "":
		return text
	}
	if u.User != nil {
		u.User = url.User("hidden")
	}
	if u.RawQuery != "" {
		u.RawQuery = "hidden"
	}
	return u.String()
}

// TLS names files in PEM, which are read again when they change, or a domain whose
// certificate zhongkong serve gets itself.
type TLS struct {
	Cert, Key string // both or none
	ClientCA  string // with it, programs need a certificate of this authority

	// Domain is the public name under which WeChat comes, such as wx.example.com. Its
	// certificate comes from an authority that speaks ACME, which looks at port 443 there.
	// Listen and Check do not get it: it is for zhongkong serve.
	Domain    string
	Email     string // where the authority writes to; may be empty
	Authority string // the URL of its directory; "" means Let's Encrypt
	Folder    string // where account key and certificates are kept
}

// On reports whether there is any.
func (t TLS) On() bool { return t.Cert != "" || t.Domain != "" }

// Admin is the admin API's own listener.
type Admin struct {
	Listen    string         // "" means that there is none
	PlainHTTP bool           // as Settings.PlainHTTP, of this one
	Key       custody.Secret // at least 32 characters

	// Hosts are the names under which browsers find the page, beside localhost, addresses
	// and the name in Listen: a reverse proxy's.
	Hosts []string

	// MetricsKey opens /metrics and nothing else, for whoever watches. Empty means
	// that Key alone opens it.
	MetricsKey custody.Secret
}

// Journal names places where the journal goes beside the store; "" is none.
type Journal struct {
	File    string         // to which lines of JSON are appended
	Syslog  string         // udp://host:514, tcp://host:601 or unix:///dev/log
	Webhook custody.Secret // an address to which lines are posted; it may hold a secret
}

// Open opens them, all or, with an error, none.
func (j Journal) Open(log *slog.Logger) (sinks []*journal.Sink, err error) {
	for _, to := range []struct {
		where string
		open  func(string, *slog.Logger) (*journal.Sink, error)
	}{{j.File, journal.File}, {j.Syslog, journal.Syslog}, {j.Webhook.Reveal(), journal.Webhook}} {
		if to.where == "" {
			continue
		}
		sink, err := to.open(to.where, log)
		if err != nil {
			for _, opened := range sinks {
				opened.Close()
			}
			return nil, err
		}
		sinks = append(sinks, sink)
	}
	return sinks, nil
}

// Check says what Open would fail with, and makes no file.
func (j Journal) Check() error {
	if j.File != "" {
		if err := journal.CheckFile(j.File); err != nil {
			return named.Errorf("gateway", "journal.file: %w", named.Plain(err))
		}
	}
	return nil
}

// Log is what the log says and how.
type Log struct {
	Level  slog.Level
	Format string // "text" (also "") or "json"
}

// The configuration file, field by field.
type (
	settingsFile struct {
		Listen    string        `yaml:"listen"`
		PlainHTTP bool          `yaml:"plain_http"`
		TLS       tlsFile       `yaml:"tls"`
		Admin     adminFile     `yaml:"admin"`
		Store     string        `yaml:"store"`
		APIBase   string        `yaml:"api_base"`
		Log       logFile       `yaml:"log"`
		Journal   journalFile   `yaml:"journal"`
		Login     loginFile     `yaml:"login"`
		Timing    timingFile    `yaml:"timing"`
		Drain     string        `yaml:"drain_grace"`
		Proxies   []string      `yaml:"trusted_proxies"`
		Accounts  []accountFile `yaml:"accounts"`
	}
	tlsFile struct {
		Cert     string `yaml:"cert"`
		Key      string `yaml:"key"`
		ClientCA string `yaml:"client_ca"`

		Domain    string `yaml:"domain"`
		Email     string `yaml:"email"`
		Authority string `yaml:"authority"`
		Folder    string `yaml:"folder"`
	}
	adminFile struct {
		Listen     string       `yaml:"listen"`
		PlainHTTP  bool         `yaml:"plain_http"`
		Hosts      []string     `yaml:"hosts"`
		Key        secretSource `yaml:"key"`
		MetricsKey secretSource `yaml:"metrics_key"`

		without bool // the keys are not needed
	}
	loginFile struct {
		Origin   string `yaml:"origin"`
		OpenBase string `yaml:"open_base"`
	}
	logFile struct {
		Level  string `yaml:"level"`
		Format string `yaml:"format"`
	}
	journalFile struct {
		File    string       `yaml:"file"`
		Syslog  string       `yaml:"syslog"`
		Webhook secretSource `yaml:"webhook"`
	}
	timingFile struct {
		FetchTimeout  string `yaml:"fetch_timeout"`
		SaveTimeout   string `yaml:"save_timeout"`
		LeaseTTL      string `yaml:"lease_ttl"`
		StoreTimeout  string `yaml:"store_timeout"`
		ProbeTimeout  string `yaml:"probe_timeout"`
		StorePatience string `yaml:"store_patience"`
	}
	accountFile struct {
		AppID        string        `yaml:"appid"`
		CorpID       string        `yaml:"corpid"`
		AgentID      string        `yaml:"agentid"`
		Secret       secretSource  `yaml:"secret"`
		TokenAPI     string        `yaml:"token_api"`
		DailyFetches int           `yaml:"daily_fetches"`
		Signing      *signingFile  `yaml:"signing"`
		Callback     *callbackFile `yaml:"callback"`

		without bool // the AppSecret is not needed
	}
)

// secretSource says where a secret is. No more than one field is set.
type secretSource struct {
	literal custody.Secret
	env     string
	file    string
}

// sourceError is about the form of a secret: its text never shows what stands there.
type sourceError struct{ line int }

func (e *sourceError) Error() string {
	return fmt.Sprintf("line %d: a secret is {env: NAME}, {file: PATH} or the text itself", e.line)
}

// UnmarshalYAML implements yaml.NodeUnmarshaler. It takes a scalar as it is written:
// a secret of digits is no number.
func (s *secretSource) UnmarshalYAML(node ast.Node) error {
	switch node := node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		var named struct {
			Env  string `yaml:"env"`
			File string `yaml:"file"`
		}
		if err := yaml.NodeToValue(node, &named, yaml.Strict()); err != nil || (named.Env == "") == (named.File == "") {
			return &sourceError{node.GetToken().Position.Line}
		}
		s.env, s.file = named.Env, named.File
	case ast.ScalarNode:
		s.literal = custody.NewSecret(node.GetToken().Value)
	default:
		return &sourceError{node.GetToken().Position.Line}
	}
	return nil
}

// plainly returns a name for an error's text, which somebody may have taken for the field
// of the value.
func plainly(name string) string {
	if shape.IsSecret(name) {
		return shape.Show(name)
	}
	return name
}

// unsetError is about a variable of the environment.
type unsetError struct{ name string }

func (e *unsetError) Error() string {
	return fmt.Sprintf("the environment variable %s is not set", e.name)
}

func (s secretSource) isZero() bool { return s.literal.IsZero() && s.env == "" && s.file == "" }

// read returns the secret. Relative files are in folder.
func (s secretSource) read(folder string, env func(string) (string, bool)) (custody.Secret, error) {
	var text string
	switch {
	case s.env != "":
		value, _ := env(s.env)
		if text = strings.TrimSpace(value); text == "" {
			return custody.Secret{}, &unsetError{plainly(s.env)}
		}
	case s.file != "":
		path := s.file
		if err := shape.Path("the path of the secret's file", path); err != nil {
			return custody.Secret{}, err
		}
		if shape.IsSecret(path) {
			return custody.Secret{}, errors.New("the path of the secret's file looks like the secret itself: write that without {file: …}, or name the file")
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(folder, path)
		}
		content, err := readLimited(path, 64<<10)
		if err != nil {
			return custody.Secret{}, fmt.Errorf("the file of the secret cannot be read: %w", err)
		}
		if text = strings.TrimSpace(string(content)); text == "" {
			return custody.Secret{}, fmt.Errorf("the file %s is empty", path)
		}
	default:
		text = s.literal.Reveal()
	}
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return custody.Secret{}, errors.New("the secret holds white space or a control character: copy it again")
	}
	return custody.NewSecret(text), nil
}

func readLimited(path string, most int64) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // whoever configures the program names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(content)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return content, err
}

// ReadSettings reads a configuration file. Its errors name the file and the line,
// and quote no secret.
func ReadSettings(path string) (*Settings, error) {
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	s, err := ParseSettings(content, filepath.Dir(path), os.LookupEnv)
	if err != nil {
		return nil, named.Errorf("gateway", "%s: %w", path, err)
	}
	return s, nil
}

// readFile reads the content of a configuration file.
func readFile(path string) ([]byte, error) {
	if err := shape.Path("the path of the configuration", path); err != nil {
		return nil, named.Errorf("gateway", "%w", err)
	}
	content, err := readLimited(path, 16<<20)
	if err != nil {
		return nil, named.Errorf("gateway", "the configuration cannot be read: %w", err)
	}
	return content, nil
}

// Parts says what [ReadParts] reads of a configuration file.
type Parts struct {
	// Secret reports whether the AppSecret of an account is needed. Nil means of none.
	Secret func(appID string) bool

	// Absent makes it read everything but the secrets that are not needed, and is called for
	// each secret that is not here: its variable is not set, or its file cannot be read. What
	// needs that secret is left out; of an account (appID), which stays, it is the AppSecret.
	Absent func(appID string, err error)
}

// ReadParts is [ReadSettings] for a command that needs few of its values: keys of the
// admin listener, callbacks, and each AppSecret that is not needed are left out, so that
// their variables and files need not be there.
func ReadParts(path string, parts Parts) (*Settings, error) {
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	s, err := parse(content, filepath.Dir(path), os.LookupEnv, &parts)
	if err != nil {
		return nil, named.Errorf("gateway", "%s: %w", path, err)
	}
	return s, nil
}

// leave takes out of a file what parts does not name.
func (p *Parts) leave(file *settingsFile) {
	if p == nil {
		return
	}
	if p.Absent == nil {
		file.Admin, file.Journal = adminFile{}, journalFile{}
	}
	for i := range file.Accounts {
		a := &file.Accounts[i]
		needed := p.Secret != nil && p.Secret(a.name())
		if !needed || p.Absent == nil {
			a.Callback, a.Signing = nil, nil
		}
		if !needed {
			a.Secret, a.without = secretSource{}, true
		}
	}
}

// leaveAbsent takes out of a file what is not here, and tells of it.
func (p *Parts) leaveAbsent(file *settingsFile, folder string, env func(string) (string, bool), at func(string, error) error) {
	if p == nil || p.Absent == nil {
		return
	}
	absent := func(appID string, err error) bool {
		_, unset := errors.AsType[*unsetError](err)
		found := unset || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
		if found {
			p.Absent(appID, err)
		}
		return found
	}
	admin := Admin{Listen: file.Admin.Listen}
	if absent("", file.Admin.read(&admin, folder, env, at)) {
		file.Admin.Key, file.Admin.MetricsKey, file.Admin.without = secretSource{}, secretSource{}, true
	}
	if _, err := file.Journal.read(folder, env, at); absent("", err) {
		file.Journal.Webhook = secretSource{}
	}
	for i := range file.Accounts {
		at := func(field string, err error) error { return at(fmt.Sprintf("$.accounts[%d]%s", i, field), err) }
		f := &file.Accounts[i]
		if !f.Secret.isZero() {
			if _, err := f.Secret.read(folder, env); err != nil && absent(f.name(), at(".secret", secretError(f.name(), err))) {
				f.Secret, f.without = secretSource{}, true
			}
		}
		if f.Callback != nil {
			_, err := f.Callback.read(folder, env)
			if field, ok := errors.AsType[*fanout.FieldError](err); ok && absent("", at(".callback"+field.Field, callbackError(f.AppID, field))) {
				f.Callback = nil
			}
		}
		if f.Signing != nil {
			_, err := f.Signing.read(f.AppID, folder, env)
			if err != nil && absent("", at(".signing", fmt.Errorf("%s: %w", plainly(f.AppID), err))) {
				f.Signing = nil
			}
		}
	}
}

func secretError(appID string, err error) error {
	return fmt.Errorf("the secret of %s: %w", plainly(appID), err)
}

func callbackError(appID string, field *fanout.FieldError) error {
	return fmt.Errorf("callback of %s: %w", plainly(appID), field.Err)
}

// ParseSettings reads the content of a configuration file. folder is where its
// relative paths begin, env is [os.LookupEnv]. Everything in it is checked; an
// error begins with "line N: " where a line can be named.
func ParseSettings(content []byte, folder string, env func(string) (string, bool)) (*Settings, error) {
	return parse(content, folder, env, nil)
}

// parse reads all, or the parts that are named.
func parse(content []byte, folder string, env func(string) (string, bool), parts *Parts) (*Settings, error) {
	var file settingsFile
	if err := unmarshal(content, &file); err != nil && !errors.Is(err, errEmpty) {
		return nil, err
	}
	parts.leave(&file)
	at := func(path string, err error) error { return lineError(content, path, err) }
	parts.leaveAbsent(&file, folder, env, at)
	s := &Settings{
		Listen: file.Listen, PlainHTTP: file.PlainHTTP, TLS: TLS(file.TLS), Store: file.Store, APIBase: file.APIBase,
		Admin: Admin{Listen: file.Admin.Listen, PlainHTTP: file.Admin.PlainHTTP, Hosts: file.Admin.Hosts}, Log: Log{Format: file.Log.Format},
		Login: Login(file.Login),
	}
	if err := s.TLS.complete(folder, at); err != nil {
		return nil, err
	}
	if file.Log.Level != "" {
		if err := s.Log.Level.UnmarshalText([]byte(file.Log.Level)); err != nil {
			return nil, at("$.log.level", fmt.Errorf("log.level is %s: it must be debug, info, warn or error", shape.Show(file.Log.Level)))
		}
	}
	if f := s.Log.Format; f != "" && f != "text" && f != "json" {
		return nil, at("$.log.format", fmt.Errorf("log.format is %s: it must be text or json", shape.Show(f)))
	}
	if err := platform.CheckBase(s.APIBase); err != nil {
		return nil, at("$.api_base", fmt.Errorf("api_base %w", err))
	}
	for _, f := range []struct{ name, value string }{{"origin", s.Login.Origin}, {"open_base", s.Login.OpenBase}} {
		if err := weblogin.CheckOrigin(f.value); err != nil && f.value != "" {
			return nil, at("$.login."+f.name, fmt.Errorf("login.%s %w", f.name, err))
		}
	}
	var err error
	if s.Timing, err = file.Timing.read(at); err != nil {
		return nil, err
	}
	if file.Drain != "" {
		if s.DrainGrace, err = ParseDrainGrace(file.Drain); err != nil {
			return nil, at("$.drain_grace", fmt.Errorf("drain_grace is %q: %w", file.Drain, err))
		}
	}
	if s.Journal, err = file.Journal.read(folder, env, at); err != nil {
		return nil, err
	}
	if s.TrustedProxies, err = ParseProxies(file.Proxies); err != nil {
		return nil, at("$.trusted_proxies", fmt.Errorf("trusted_proxies: %w", err))
	}
	if err := file.Admin.read(&s.Admin, folder, env, at); err != nil {
		return nil, err
	}
	s.Accounts, err = readAccounts(file.Accounts, folder, env, at)
	return s, err
}

// maxDrain is less than service managers wait for by themselves.
const maxDrain = time.Minute

// ParseDrainGrace reads a Settings.DrainGrace; 0s means not at all.
func ParseDrainGrace(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil || d < 0 || d > maxDrain:
		return 0, fmt.Errorf("it must be a duration such as 5s, at most %s; 0s means not at all", maxDrain)
	case d == 0:
		return -1, nil
	}
	return d, nil
}

// read returns the timing that the file gives.
func (f timingFile) read(at func(string, error) error) (custody.Timing, error) {
	var t custody.Timing
	for _, d := range []struct {
		name, text string
		field      *time.Duration
	}{
		{"fetch_timeout", f.FetchTimeout, &t.FetchTimeout},
		{"save_timeout", f.SaveTimeout, &t.SaveTimeout},
		{"lease_ttl", f.LeaseTTL, &t.LeaseTTL},
		{"store_timeout", f.StoreTimeout, &t.StoreTimeout},
		{"probe_timeout", f.ProbeTimeout, &t.ProbeTimeout},
		{"store_patience", f.StorePatience, &t.StorePatience},
	} {
		if d.text == "" {
			continue
		}
		value, err := time.ParseDuration(d.text)
		if err != nil || value <= 0 {
			return custody.Timing{}, at(
				"$.timing."+d.name,
				fmt.Errorf("timing.%s is %s: it must be a positive duration such as 8s or 500ms", d.name, shape.Show(d.text)),
			)
		}
		*d.field = value
	}
	return t, nil
}

// read returns where the journal goes.
func (f journalFile) read(folder string, env func(string) (string, bool), at func(string, error) error) (Journal, error) {
	j := Journal{File: f.File, Syslog: f.Syslog}
	if err := shape.Path("journal.file", j.File); err != nil {
		return j, at("$.journal.file", err)
	}
	if j.File != "" && !filepath.IsAbs(j.File) {
		j.File = filepath.Join(folder, j.File)
	}
	if j.Syslog != "" {
		if err := journal.CheckSyslog(j.Syslog); err != nil {
			return j, at("$.journal.syslog", fmt.Errorf("journal.syslog: %w", named.Plain(err)))
		}
	}
	if f.Webhook.isZero() {
		return j, nil
	}
	var err error
	if j.Webhook, err = f.Webhook.read(folder, env); err == nil {
		err = journal.CheckWebhook(j.Webhook.Reveal())
	}
	if err != nil {
		err = at("$.journal.webhook", fmt.Errorf("journal.webhook: %w", named.Plain(err)))
	}
	return j, err
}

// read puts the keys of the admin listener into a.
func (f adminFile) read(a *Admin, folder string, env func(string) (string, bool), at func(string, error) error) error {
	for _, k := range []struct {
		name   string
		source secretSource
		key    *custody.Secret
		needed bool
	}{
		{"key", f.Key, &a.Key, a.Listen != "" && !f.without},
		{"metrics_key", f.MetricsKey, &a.MetricsKey, false},
	} {
		if k.source.isZero() && !k.needed {
			continue
		}
		var err error
		if *k.key, err = k.source.read(folder, env); err == nil && len(k.key.Reveal()) < minAdminKey {
			err = errors.New("it needs at least 32 characters: make one with openssl rand -hex 32")
		}
		if err != nil {
			return at("$.admin."+k.name, fmt.Errorf("admin.%s: %w", k.name, err))
		}
	}
	if !a.MetricsKey.IsZero() && a.MetricsKey.Equal(a.Key) {
		return at("$.admin.metrics_key", errors.New("admin.metrics_key is the admin key: make another one, since it is for those who may only watch"))
	}
	return nil
}

func readAccounts(files []accountFile, folder string, env func(string) (string, bool), at func(string, error) error) ([]Account, error) {
	accounts := make([]Account, 0, len(files))
	seen := map[string]bool{}
	for i, f := range files {
		at := func(field string, err error) error { return at(fmt.Sprintf("$.accounts[%d]%s", i, field), err) }
		a, err := f.read(folder, env, at)
		if err != nil {
			return nil, err
		}
		if seen[a.AppID] {
			return nil, at(".appid", fmt.Errorf("the account %s appears twice", a.AppID))
		}
		seen[a.AppID] = true
		accounts = append(accounts, a)
	}
	return accounts, nil
}

// read returns the account of a file, checked. Until its values are known to be in their
// places, no error shows one.
func (f accountFile) read(folder string, env func(string) (string, bool), at func(field string, err error) error) (Account, error) {
	if f.CorpID != "" || f.AgentID != "" {
		return f.readWeCom(folder, env, at)
	}
	a := Account{AppID: f.AppID, DailyFetches: f.DailyFetches}
	var secretErr, callbackErr, err error
	if !f.Secret.isZero() {
		a.Secret, secretErr = f.Secret.read(folder, env)
	}
	if f.Callback != nil {
		a.Callback, callbackErr = f.Callback.read(folder, env)
	}
	misplaced, _ := errors.AsType[*shape.Error](a.typed())
	switch {
	case f.AppID == "":
		return a, at("", errors.New("the account has no appid"))
	case misplaced != nil:
		return a, at("."+accountFields[misplaced.Index], misplaced)
	case !shape.IsID(f.AppID):
		return a, at(".appid", errors.New("the appid holds other characters than letters, digits, '-' and '_', or is too long"))
	case f.Secret.isZero() && !f.without:
		return a, at("", fmt.Errorf("the account %s has no secret: its AppSecret is in the console (开发密钥)", plainly(f.AppID)))
	case secretErr != nil:
		return a, at(".secret", secretError(f.AppID, secretErr))
	}
	if a.TokenAPI, err = platform.ParseTokenAPI(f.TokenAPI); err != nil {
		return a, at(".token_api", named.Plain(err))
	}
	if f.Signing != nil {
		if a.Signing, err = f.Signing.read(a.AppID, folder, env); err != nil {
			return a, at(".signing", fmt.Errorf("%s: %w", f.AppID, err))
		}
	}
	if callbackErr == nil && a.Callback != nil {
		callbackErr = a.Callback.Check(a.AppID)
	}
	if field, ok := errors.AsType[*fanout.FieldError](callbackErr); ok {
		return a, at(".callback"+field.Field, callbackError(f.AppID, field))
	}
	return a, callbackErr
}

// name is what the account is called: its appid, or corpid:agentid.
func (f *accountFile) name() string {
	if f.CorpID != "" {
		return f.CorpID + ":" + f.AgentID
	}
	return f.AppID
}

// readWeCom is read of an app of WeCom.
func (f accountFile) readWeCom(folder string, env func(string) (string, bool), at func(field string, err error) error) (Account, error) {
	a := Account{AppID: f.CorpID + ":" + f.AgentID, DailyFetches: f.DailyFetches}
	if err := shape.Check(shape.Field{Name: "corpid", Kind: shape.AppID, Value: f.CorpID}); err != nil {
		return a, at(".corpid", err)
	}
	switch {
	case f.AppID != "":
		return a, at(".appid", errors.New("the account has an appid and a corpid: an app of WeCom has corpid and agentid, and no appid"))
	case f.TokenAPI != "" || f.Signing != nil || f.Callback != nil:
		return a, at("", errors.New("an app of WeCom has no token_api and no signing, and the gateway does not take its callbacks yet"))
	case f.CorpID == "" || f.AgentID == "" || !shape.IsAccount(a.AppID):
		return a, at("", errors.New("an app of WeCom has a corpid and an agentid, which is a number: see 企业微信管理后台 → 我的企业, and 应用管理 → the app"))
	case f.Secret.isZero() && !f.without:
		return a, at("", fmt.Errorf("the app %s has no secret: it is in 企业微信管理后台 → 应用管理 → the app", plainly(a.AppID)))
	case f.Secret.isZero():
		return a, nil
	}
	var err error
	if a.Secret, err = f.Secret.read(folder, env); err != nil {
		return a, at(".secret", fmt.Errorf("the secret of %s: %w", plainly(a.AppID), err))
	}
	return a, nil
}

var errEmpty = errors.New("the configuration is empty")

// unmarshal reads YAML. Its errors quote no line, as a secret may stand in it.
func unmarshal(content []byte, into any) (err error) {
	defer func() {
		if recover() != nil { // the parser's, which may quote as well
			err = errors.New("the configuration cannot be read: look for a tag (!), an anchor (&) or an alias (*) where a list or a group of fields belongs, and write it without")
		}
	}()
	if len(bytes.TrimSpace(content)) == 0 {
		return errEmpty
	}
	switch err := yaml.UnmarshalWithOptions(content, into, yaml.Strict()); {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		return errEmpty
	default:
		return yamlError(err)
	}
}

// yamlError returns what the parser says without the lines that it would quote.
func yamlError(err error) error {
	if source, ok := errors.AsType[*sourceError](err); ok {
		return source
	}
	var e yaml.Error
	if !errors.As(err, &e) {
		return errors.New("the configuration is not what was expected there")
	}
	text := e.GetMessage()
	if mismatch, ok := errors.AsType[*yaml.TypeError](err); ok {
		text = "it has to be " + plainKind(mismatch.DstType)
		if mismatch.StructFieldName != nil {
			_, field, _ := strings.Cut(*mismatch.StructFieldName, ".")
			text = field + " has to be " + plainKind(mismatch.DstType)
		}
	}
	if shape.IsSecret(text) {
		text = "the value is not what was expected, and may be a secret"
	}
	if token := e.GetToken(); token != nil {
		return fmt.Errorf("line %d: %s", token.Position.Line, text)
	}
	return errors.New(text)
}

func plainKind(t reflect.Type) string {
	switch t.Kind() { //nolint:exhaustive // of the kinds in settingsFile
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.String:
		return "a text"
	case reflect.Slice:
		return "a list"
	default:
		return "a group of fields"
	}
}

// lineError puts the line of what a YAML path names in front of err.
func lineError(content []byte, path string, err error) error {
	p, pathErr := yaml.PathString(path)
	if pathErr != nil {
		return err
	}
	node, pathErr := p.ReadNode(bytes.NewReader(content))
	if pathErr != nil || node.GetToken() == nil {
		return err
	}
	return fmt.Errorf("line %d: %w", node.GetToken().Position.Line, err)
}

// complete checks which files are named together, and makes their paths absolute.
func (t *TLS) complete(folder string, at func(string, error) error) error {
	if (t.Cert == "") != (t.Key == "") {
		return at("$.tls", errors.New("tls needs cert and key, both"))
	}
	if t.ClientCA != "" && t.Cert == "" {
		return at("$.tls.client_ca", errors.New("tls.client_ca needs tls.cert and tls.key"))
	}
	if err := t.completeDomain(at); err != nil {
		return err
	}
	for i, path := range []*string{&t.Cert, &t.Key, &t.ClientCA} {
		name := [...]string{"cert", "key", "client_ca"}[i]
		if err := shape.Path("tls."+name, *path); err != nil {
			return at("$.tls."+name, err)
		}
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(folder, *path)
		}
	}
	return nil
}

// certificatesFolder is in the working directory, as the usual database is.
const certificatesFolder = "zhongkong-certificates"

// publicName is a name that an authority gives certificates for.
var publicName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]$`)

// completeDomain checks what is said about a certificate that is got over ACME.
func (t *TLS) completeDomain(at func(string, error) error) error {
	if t.Domain == "" {
		if t.Email != "" || t.Authority != "" || t.Folder != "" {
			return at("$.tls", errors.New("tls.email, tls.authority and tls.folder are about tls.domain, which is missing"))
		}
		return nil
	}
	if t.Cert != "" || t.ClientCA != "" {
		return at("$.tls.domain", errors.New("tls.domain and tls.cert exclude one another; programs that need a certificate of client_ca need tls.cert"))
	}
	if !publicName.MatchString(t.Domain) || len(t.Domain) > 253 {
		return at("$.tls.domain", fmt.Errorf("tls.domain is %s: it must be a public name in lower case, such as wx.example.com", shape.Show(t.Domain)))
	}
	if u, err := url.Parse(t.Authority); t.Authority != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil) {
		return at("$.tls.authority", errors.New("tls.authority must be the https address of a directory, such as https://acme-v02.api.letsencrypt.org/directory"))
	}
	if err := shape.Path("tls.folder", t.Folder); err != nil {
		return at("$.tls.folder", err)
	}
	if t.Folder == "" {
		t.Folder = certificatesFolder
	}
	return nil
}
