package gateway

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/journal"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/platform"
)

const minAdminKey = 32 // characters

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
	WeComBase string // see Config.WeComBase
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

	digest [sha256.Size]byte // of the file; zero without one
}

// String shows no password: that of a store stands in its URL. Other secrets hide
// themselves.
func (s Settings) String() string {
	type shown Settings // without this method
	s.Store, s.APIBase, s.WeComBase = withoutPassword(s.Store), withoutPassword(s.APIBase), withoutPassword(s.WeComBase)
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
		WeComBase string        `yaml:"wecom_base"`
		Log       logFile       `yaml:"log"`
		Journal   journalFile   `yaml:"journal"`
		Login     loginFile     `yaml:"login"`
		Timing    timingFile    `yaml:"timing"`
		Drain     string        `yaml:"drain_grace"`
		Proxies   []string      `yaml:"trusted_proxies"`
		Accounts  []accountFile `yaml:"accounts"`
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
)

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
		Listen: file.Listen, PlainHTTP: file.PlainHTTP, TLS: TLS(file.TLS), Store: file.Store, APIBase: file.APIBase, WeComBase: file.WeComBase,
		Admin: Admin{Listen: file.Admin.Listen, PlainHTTP: file.Admin.PlainHTTP, Hosts: file.Admin.Hosts}, Log: Log{Format: file.Log.Format},
		Login: Login(file.Login), digest: digest(content),
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
	for _, f := range []struct{ name, value string }{{"api_base", s.APIBase}, {"wecom_base", s.WeComBase}} {
		if err := platform.CheckBase(f.value); err != nil {
			return nil, at("$."+f.name, fmt.Errorf("%s %w", f.name, err))
		}
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
		if err = s.SetDrainGrace(file.Drain); err != nil {
			return nil, at("$.drain_grace", fmt.Errorf("drain_grace is %q: %w", file.Drain, err))
		}
	}
	if s.Journal, err = file.Journal.read(folder, env, at); err != nil {
		return nil, err
	}
	if s.TrustedProxies, err = parseProxies(file.Proxies); err != nil {
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

// SetDrainGrace sets DrainGrace from a text such as "5s"; "0s" means not at all.
func (s *Settings) SetDrainGrace(text string) error {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil || d < 0 || d > maxDrain:
		return fmt.Errorf("it must be a duration such as 5s, at most %s; 0s means not at all", maxDrain)
	case d == 0:
		d = -1
	}
	s.DrainGrace = d
	return nil
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
