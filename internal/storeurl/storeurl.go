// Package storeurl reads the URLs of stores. It has the one table of what may stand in them,
// by which the stores, the middlewares, the commands and docs/stores.md go.
package storeurl

import (
	"net/url"
	"slices"
	"strings"

	"github.com/zhongkong-go/zhongkong/internal/named"
)

// Engine is a kind of store.
type Engine struct {
	Name       string   // what errors call it
	Package    string   // below store/
	Schemes    []string // how its URLs begin, with ://
	Aliases    []string // likewise, for those who write them so
	Example    string
	Parameters []Parameter
	More       bool // others are passed on: libpq's and the server's settings
}

// Parameter is what may stand behind the question mark of a URL.
type Parameter struct {
	Name, Example string
	Values        []string // all that it may be; nil for anything
	Repeats       bool     // it may be there more than once
	EN, ZH        string
}

// What all servers have, and what those with a schema have.
var (
	prefix = Parameter{
		Name: "prefix", Example: "prefix=shop_",
		EN: "begins the names of the tables; `zhongkong_` unless given", ZH: "表名前缀，默认 `zhongkong_`",
	}
	migrate = Parameter{
		Name: "migrate", Example: "migrate=off", Values: []string{"on", "off"},
		EN: "leaves the schema alone at start", ZH: "启动时不建表、不升级",
	}
)

// The kinds of stores.
var (
	SQLite = &Engine{Name: "SQLite", Package: "sqlite"}
	Memory = &Engine{Name: "memory", Package: "memory"}
	Redis  = &Engine{
		Name: "Redis", Package: "redis", Schemes: []string{"redis", "rediss"},
		Example: "redis://user:password@redis.example.com:6379/0, rediss:// for TLS",
		Parameters: []Parameter{
			{
				Name: "addr", Example: "addr=host2:6379", Repeats: true,
				EN: "one more server, of a cluster or a sentinel; may be repeated", ZH: "集群或哨兵的另一台服务器，可以重复",
			},
			{Name: "cluster", Example: "cluster=true", EN: "the servers are a cluster", ZH: "这些服务器组成集群"},
			{Name: "master_name", Example: "master_name=mymaster", EN: "the servers are sentinels; follow this master", ZH: "这些服务器是哨兵，跟随这个主节点"},
			{Name: "sentinel_user", Example: "sentinel_user=", EN: "of the sentinels, where they want one", ZH: "哨兵的用户名（如有）"},
			{Name: "sentinel_password", Example: "sentinel_password=", EN: "likewise", ZH: "哨兵的密码（如有）"},
			{Name: "ca", Example: "ca=/path/ca.pem", EN: "the authority that signed the server's certificate, with `rediss://`", ZH: "签发服务器证书的机构，配合 `rediss://`"},
			{Name: "prefix", Example: "prefix=shop:", EN: "begins the names of the keys; `zhongkong:` unless given", ZH: "键名前缀，默认 `zhongkong:`"},
		},
	}
	Postgres = &Engine{
		Name: "PostgreSQL", Package: "postgres", Schemes: []string{"postgres"}, Aliases: []string{"postgresql"}, More: true,
		Example:    "postgres://user:password@db.example.com:5432/app?sslmode=verify-full",
		Parameters: []Parameter{prefix, migrate},
	}
	MySQL = &Engine{
		Name: "MySQL", Package: "mysql", Schemes: []string{"mysql"}, Aliases: []string{"mariadb"},
		Example: "mysql://user:password@db.example.com:3306/app?tls=true",
		Parameters: []Parameter{
			{
				Name: "tls", Example: "tls=true", Values: []string{"true", "preferred", "skip-verify", "false"},
				EN: "TLS with a certificate that is checked; `preferred`: TLS where the server has it, nothing is checked; `skip-verify`; `false`, the default",
				ZH: "TLS 并检查证书；`preferred`：服务器支持时用 TLS，不检查证书；`skip-verify`；`false` 为默认值",
			},
			{Name: "ca", Example: "ca=/path.pem", EN: "the authority that signed the server's certificate, with `tls=true`", ZH: "签发服务器证书的机构，配合 `tls=true`"},
			{Name: "socket", Example: "socket=/path", EN: "a Unix socket, instead of host and port", ZH: "Unix socket，代替主机和端口"},
			prefix, migrate,
		},
	}

	Engines = []*Engine{SQLite, Memory, Redis, Postgres, MySQL}
)

// Of returns the engine that an address begins with the name of; nil for none.
func Of(address string) *Engine {
	scheme, _, _ := strings.Cut(address, ":")
	scheme = strings.ToLower(scheme)
	for _, e := range Engines {
		if e.begins(scheme) && len(scheme) < len(address) {
			return e
		}
	}
	return nil
}

func (e *Engine) begins(scheme string) bool {
	if len(e.Schemes) == 0 {
		return scheme == e.Package
	}
	return slices.Contains(e.Schemes, scheme) || slices.Contains(e.Aliases, scheme)
}

// Check returns the engine of an address, and what is wrong with it as far as that is known
// without opening anything.
func Check(address string) (*Engine, error) {
	switch e := Of(address); e {
	case nil:
		return nil, unknown(address)
	case SQLite:
		_, err := Path(address)
		return e, err
	case Memory:
		if !strings.EqualFold(address, "memory:") {
			return e, named.Errorf("zhongkong", "the URL of the memory store is memory: and nothing more")
		}
		return e, nil
	default:
		_, err := e.Read(address)
		return e, err
	}
}

// unknown shows no more of a URL than how it begins: the rest may be a password.
func unknown(address string) error {
	const known = "begin it with sqlite:, memory:, redis://, rediss://, postgres:// or mysql://"
	scheme, _, found := strings.Cut(address, ":") // without one, a path, or a secret in the wrong place
	if !found || scheme == "" || strings.ContainsAny(scheme, "/@. ") || len(scheme) > 20 {
		return named.Errorf("zhongkong", "the URL of the store has no scheme: %s", known)
	}
	return named.Errorf("zhongkong", "there is no store %s: %s", strings.ToLower(scheme), known)
}

// Path returns the path of a URL of SQLite: sqlite:zhongkong.db, sqlite:/var/lib/zhongkong.db
// or, the same, sqlite:///var/lib/zhongkong.db. Percent signs mean nothing, and parameters
// there are none.
func Path(address string) (path string, err error) {
	scheme, rest, _ := strings.Cut(address, ":")
	path = rest
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		path = after
	}
	shown := path // without what may be a key in a parameter
	if at := strings.IndexAny(path, "?#"); at >= 0 {
		shown = path[:at]
	}
	switch {
	case !strings.EqualFold(scheme, "sqlite"):
		return "", named.Errorf("zhongkong", "the URL of an SQLite database begins with sqlite: and this one does not")
	case path == "":
		return "", named.Errorf("zhongkong", "the URL of the SQLite database has no path: write sqlite:zhongkong.db or sqlite:/abs/path.db")
	case path != rest && !strings.HasPrefix(path, "/"):
		return "", named.Errorf("zhongkong", "the URL of the SQLite database has two slashes and no absolute path: write sqlite:%s or sqlite:///abs/path.db", shown)
	case strings.ContainsAny(path, "?#"):
		return "", named.Errorf("zhongkong", "the URL of the SQLite database, sqlite:%s, has a ? or a # behind it: it takes no parameters, so leave them out", shown)
	}
	return path, nil
}

// Place names where a server's store is, without the password that its URL may hold; "" for
// what cannot be read.
func Place(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme == "":
		return ""
	case u.Host == "" || spilt(u):
		return u.Scheme + ":"
	default:
		return u.Scheme + "://" + u.Host + u.Path
	}
}

// spilt reports whether a part of the password may be behind the host, because it has a / or
// a # that was not written as %XX.
func spilt(u *url.URL) bool { return u.Fragment != "" || strings.Contains(u.Path, "@") }

// Address is the URL of a server's store, taken apart.
type Address struct {
	*url.URL

	Engine *Engine
	given  url.Values
}

// Read takes a URL of a server's store apart, and refuses parameters that the table lacks or
// that are there twice.
// Whatever is wrong with it, no error shows it.
func (e *Engine) Read(address string) (*Address, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, e.Refuse("its URL cannot be read", e.example()+", and write special characters of the password as %XX")
	case spilt(u):
		return nil, e.Refuse("its URL has an @ or a # behind the host", "write special characters of the password as %XX")
	case !e.begins(u.Scheme):
		return nil, e.Refuse("its URL does not begin with "+strings.Join(e.Schemes, ":// or ")+"://", e.example())
	}
	a := &Address{URL: u, Engine: e, given: u.Query()}
	for name, values := range a.given {
		repeated := len(values) > 1
		if values = slices.DeleteFunc(values, func(value string) bool { return value == "" }); len(values) == 0 && !repeated {
			delete(a.given, name) // as from an empty variable: not given
			continue
		}
		a.given[name] = values
		if err := e.check(name, values, repeated); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// check refuses a parameter that the table lacks, a value that it does not have, and a
// parameter that is there twice: which of the two counts, nobody who reads the URL can know.
func (e *Engine) check(name string, values []string, repeated bool) error {
	at := slices.IndexFunc(e.Parameters, func(p Parameter) bool { return p.Name == name })
	switch {
	case at < 0 && !e.More:
		return e.Refuse("its URL has a parameter that does not exist", "use "+enumerate(e.names(), "and"))
	case at < 0 && repeated:
		return e.Refuse("its URL has a parameter twice", "leave one of the two out") // its name may be a part of a password
	case at < 0:
		return nil
	}
	p := e.Parameters[at]
	switch {
	case repeated && !p.Repeats:
		return e.Refuse("its URL has "+name+" twice", "leave one of the two out")
	case len(p.Values) > 0 && !slices.Contains(p.Values, values[0]):
		return e.Refuse(name+" in its URL", "say "+enumerate(p.Values, "or"))
	}
	return nil
}

func (e *Engine) example() string { return "give one such as " + e.Example }

func (e *Engine) names() []string {
	names := make([]string, len(e.Parameters))
	for i, p := range e.Parameters {
		names[i] = p.Name
	}
	return names
}

// enumerate writes a list as people do.
func enumerate(words []string, conjunction string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " " + conjunction + " " + words[last]
}

// Refuse is the error of a configuration that was refused before any server was asked. It
// tells what is wrong without the URL, which holds the password.
func (e *Engine) Refuse(what, remedy string) error {
	return named.Errorf("zhongkong", "the %s store: %s: %s", e.Name, what, remedy)
}

// Wrong is Refuse with a URL that is right as the remedy.
func (e *Engine) Wrong(what string) error { return e.Refuse(what, e.example()) }

// Get returns the value of a parameter, "" for none.
func (a *Address) Get(name string) string { return a.given.Get(name) }

// All returns the values of a parameter that may be repeated.
func (a *Address) All(name string) []string { return a.given[name] }

// Password is that of the URL.
func (a *Address) Password() string {
	password, _ := a.User.Password()
	return password
}

// Foreign returns the URL without the parameters of the table.
func (a *Address) Foreign() string {
	u := *a.URL
	query := u.Query()
	for _, name := range a.Engine.names() {
		query.Del(name)
	}
	u.RawQuery = query.Encode()
	return u.String()
}
