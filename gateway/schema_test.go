package gateway

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

//go:generate go test -run ^TestSchema$ . -update

var update = flag.Bool("update", false, "write the schema of the configuration anew")

const schemaPath = "../deploy/zhongkong.schema.json"

// rule is what the schema says about a field beyond its type.
type rule map[string]any

// duration is what time.ParseDuration takes, without a sign.
const duration = `^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$`

// schemaFields are the fields of a configuration file, by their path; [] is an element of
// a list, {} one of a map.
var schemaFields = map[string]rule{
	"listen":                {"description": "Host and port at which programs call. Default: 127.0.0.1:8300"},
	"plain_http":            {"description": "Plain HTTP on other addresses than loopback, where something in front speaks TLS or the network is trusted"},
	"tls":                   {"description": "Files in PEM, read again when they change, or a domain whose certificate the gateway gets. Without either: plain HTTP"},
	"tls.cert":              {"description": "The certificate and its chain"},
	"tls.key":               {"description": "The private key"},
	"tls.domain":            {"description": "The public name under which WeChat comes; zhongkong serve gets its certificate. Port 443 there has to lead here", "pattern": `^[a-z0-9.-]+\.[a-z0-9-]+$`},
	"tls.email":             {"description": "Where the authority writes to"},
	"tls.authority":         {"description": "The directory of an authority that speaks ACME. Default: Let's Encrypt", "pattern": "^https://"},
	"tls.folder":            {"description": "Where account key and certificates are kept. Default: zhongkong-certificates in the working directory"},
	"tls.client_ca":         {"description": "With it, programs need a certificate of one of these authorities"},
	"admin":                 {"description": "The admin API, its page and /metrics, on a listener of their own"},
	"admin.listen":          {"description": "Host and port, such as 127.0.0.1:8301"},
	"admin.plain_http":      {"description": "Plain HTTP on other addresses than loopback"},
	"admin.hosts":           {"description": "Names under which browsers find the page, such as a reverse proxy's"},
	"admin.hosts[]":         {},
	"admin.key":             {"description": "At least 32 characters: openssl rand -hex 32"},
	"admin.metrics_key":     {"description": "Opens /metrics and nothing else"},
	"store":                 {"description": "sqlite:PATH, redis://, postgres:// or mysql://. Default: ZHONGKONG_STORE, else sqlite:zhongkong.db"},
	"api_base":              {"description": "Where WeChat's API is. Default: https://api.weixin.qq.com", "pattern": "^https?://"},
	"wecom_base":            {"description": "Where WeCom's API is. Default: https://qyapi.weixin.qq.com, or an api_base on this machine", "pattern": "^https?://"},
	"log":                   {"description": "What is logged to standard error"},
	"log.level":             {"description": "Default: info", "pattern": "^(?i)(debug|info|warn|error)([+-][0-9]+)?$"},
	"log.format":            {"description": "Default: text", "enum": []string{"text", "json"}},
	"journal":               {"description": "Where the journal goes besides the store"},
	"journal.file":          {"description": "A file to which lines of JSON are appended"},
	"journal.syslog":        {"description": "udp://host:514, tcp://host:601 or unix:///dev/log", "pattern": "^(udp|tcp|unix)://"},
	"journal.webhook":       {"description": "An https address to which lines are posted"},
	"login":                 {"description": "The login relay"},
	"login.origin":          {"description": "The gateway's public address, such as https://login.example", "pattern": "^https?://"},
	"login.open_base":       {"description": "Where WeChat's pages are. Default: https://open.weixin.qq.com", "pattern": "^https?://"},
	"timing":                {"description": "How long each step of a renewal may take"},
	"timing.fetch_timeout":  {"description": "Default: 8s", "pattern": duration},
	"timing.save_timeout":   {"description": "Default: 2s", "pattern": duration},
	"timing.lease_ttl":      {"description": "Default: 5s", "pattern": duration},
	"timing.store_timeout":  {"description": "Default: 1s", "pattern": duration},
	"timing.probe_timeout":  {"description": "Default: 3s", "pattern": duration},
	"timing.store_patience": {"description": "Default: 15s", "pattern": duration},
	"drain_grace":           {"description": "How long calls are still taken after SIGTERM, at most 1m. Default: 5s; 0s: not at all", "pattern": duration},
	"trusted_proxies":       {"description": "Addresses and networks of reverse proxies whose X-Forwarded-For is believed"},
	"trusted_proxies[]":     {},
	"accounts":              {"description": "The WeChat accounts"},
	"accounts[]": {"required": []string{"secret"}, "anyOf": []map[string]any{
		{"required": []string{"appid"}}, {"required": []string{"corpid", "agentid"}},
	}},
	"accounts[].name":                     {"description": "For people, such as 主店公众号: shown first on pages, in commands and metrics; it identifies nothing", "maxLength": 64},
	"accounts[].appid":                    {"description": "The AppID", "pattern": "^[0-9A-Za-z_-]+$"},
	"accounts[].corpid":                   {"description": "Of an app of WeCom (企业微信): the corp's id"},
	"accounts[].agentid":                  {"description": "Of an app of WeCom: its number"},
	"accounts[].secret":                   {"description": "The AppSecret"},
	"accounts[].token_api":                {"description": "How the token is fetched. Default: stable", "enum": []string{"stable", "classic"}},
	"accounts[].callback":                 {"description": "What WeChat pushes, and to whom it goes", "required": []string{"token"}},
	"accounts[].signing":                  {"description": "Signed and encrypted API calls (服务端 API 签名加密) for every program"},
	"accounts[].signing.symmetric_serial": {"description": "The serial number of the symmetric key"},
	"accounts[].signing.symmetric_key":    {"description": "The symmetric key"},
	"accounts[].signing.private_key":      {"description": "A file in PEM with the account's private key"},
	"accounts[].signing.certificates":     {"description": "Files in PEM with WeChat's certificates, by their number"},
	"accounts[].signing.certificates{}":   {},
	"accounts[].signing.paths":            {"description": "The paths whose calls are signed"},
	"accounts[].signing.paths[]":          {},
	"accounts[].daily_fetches": {
		"description": "Fetches of a Beijing day over all gateways; negative: no limit. Default: 5000 (stable), 1800 (classic)",
	},
	"accounts[].callback.token":            {"description": "The Token in WeChat's console"},
	"accounts[].callback.previous_token":   {"description": "Accepted too, while a change in the console reaches all of WeChat"},
	"accounts[].callback.aes_key":          {"description": "The EncodingAESKey; without it only plain pushes are accepted. An app of WeCom needs one"},
	"accounts[].callback.previous_aes_key": {"description": "Accepted too, while a change in the console reaches all of WeChat"},
	"accounts[].callback.mode":             {"description": "Default: safe with an aes_key, else plain", "enum": []string{"safe", "compatible", "plain"}},
	"accounts[].callback.subscribers":      {"description": "The systems that get the pushes; the first that wants one answers the follower"},
	"accounts[].callback.subscribers[]":    {"required": []string{"name", "url", "token"}},
	"accounts[].callback.subscribers[].name": {
		"description": "What waits for a system waits under this name: keep it", "pattern": "^[0-9A-Za-z_-]+$",
	},
	"accounts[].callback.subscribers[].title":           {"description": "For people, such as 结算系统: shown first; it identifies nothing", "maxLength": 64},
	"accounts[].callback.subscribers[].url":             {"description": "https; http to this machine, or in mode safe", "pattern": "^https?://"},
	"accounts[].callback.subscribers[].token":           {"description": "The Token with which its pushes are signed"},
	"accounts[].callback.subscribers[].aes_key":         {"description": "The key with which its pushes are encrypted: 43 letters and digits"},
	"accounts[].callback.subscribers[].mode":            {"description": "Default: safe with an aes_key, else plain", "enum": []string{"safe", "compatible", "plain"}},
	"accounts[].callback.subscribers[].when":            {"description": "Which pushes it gets. Default: all"},
	"accounts[].callback.subscribers[].when.type":       {"description": "MsgTypes; event is all events"},
	"accounts[].callback.subscribers[].when.type[]":     {},
	"accounts[].callback.subscribers[].when.event":      {"description": "Events"},
	"accounts[].callback.subscribers[].when.event[]":    {},
	"accounts[].callback.subscribers[].when.key":        {"description": "Of these, only events whose EventKey it matches: * any characters, ? one"},
	"accounts[].callback.subscribers[].when.follower":   {"description": "Of these, only those of the listed openids"},
	"accounts[].callback.subscribers[].when.follower[]": {},
}

// schemer makes the schema out of the types that the file is read into.
type schemer struct {
	t    *testing.T
	used map[string]bool
}

func (s *schemer) of(kind reflect.Type, path string) map[string]any {
	out := map[string]any{}
	if path != "" {
		about, there := schemaFields[path]
		if !there {
			s.t.Errorf("schemaFields says nothing about %s: say what it is for, and run go generate ./gateway", path)
		}
		s.used[path] = true
		maps.Copy(out, about)
	}
	if kind == reflect.TypeFor[secretSource]() {
		out["$ref"] = "#/$defs/secret"
		return out
	}
	switch kind.Kind() { //nolint:exhaustive // of the kinds in settingsFile
	case reflect.Pointer:
		return s.of(kind.Elem(), path)
	case reflect.String:
		out["type"] = "string"
	case reflect.Bool:
		out["type"] = "boolean"
	case reflect.Int:
		out["type"] = "integer"
	case reflect.Slice:
		out["type"], out["items"] = "array", s.of(kind.Elem(), path+"[]")
	case reflect.Map:
		out["type"], out["additionalProperties"] = "object", s.of(kind.Elem(), path+"{}")
	case reflect.Struct:
		fields := map[string]any{}
		for field := range kind.Fields() {
			name := field.Tag.Get("yaml")
			if name == "" {
				continue // what is worked out, and not in the file
			}
			fields[name] = s.of(field.Type, strings.TrimPrefix(path+"."+name, "."))
		}
		out["type"], out["properties"], out["additionalProperties"] = "object", fields, false
	default:
		s.t.Errorf("%s is a %s, of which the schema knows nothing", path, kind)
	}
	return out
}

// TestSchema: the JSON Schema of the configuration is made of the settings' own types. Run
// go generate ./gateway after a change of them.
func TestSchema(t *testing.T) {
	t.Parallel()
	s := schemer{t, map[string]bool{}}
	schema := s.of(reflect.TypeFor[settingsFile](), "")
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "The configuration of zhongkong serve"
	schema["$defs"] = map[string]any{"secret": map[string]any{
		"description": "Where a secret is: {env: NAME}, {file: PATH}, or the text itself",
		"oneOf": []any{
			map[string]any{"type": []string{"string", "integer", "number", "boolean"}},
			map[string]any{"type": "object", "properties": map[string]any{"env": map[string]any{"type": "string", "minLength": 1}}, "required": []string{"env"}, "additionalProperties": false},
			map[string]any{"type": "object", "properties": map[string]any{"file": map[string]any{"type": "string", "minLength": 1}}, "required": []string{"file"}, "additionalProperties": false},
		},
	}}
	for _, path := range slices.Sorted(maps.Keys(schemaFields)) {
		if !s.used[path] {
			t.Errorf("schemaFields describes %s, which the configuration does not have", path)
		}
	}
	var want bytes.Buffer
	encoder := json.NewEncoder(&want)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaPath, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaPath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what the settings say: run go generate ./gateway", schemaPath)
	}
}

// TestExample: deploy/zhongkong.yaml is a configuration as it is, and .env.example names
// every variable that it reads.
func TestExample(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../deploy/zhongkong.yaml")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("../deploy/.env.example")
	if err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{}
	for line := range strings.Lines(string(example)) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found && !strings.HasPrefix(name, "#") {
			variables[name] = value
		}
	}
	asked := map[string]bool{}
	env := func(name string) (string, bool) {
		asked[name] = true
		value, there := variables[name]
		if there && value == "" {
			value = strings.Repeat("made-up-", 5) + name // what the operator fills in
			if strings.HasSuffix(name, "APPSECRET") {
				value = strings.Repeat("0123456789abcdef", 2)
			}
			if strings.HasSuffix(name, "AES_KEY") {
				value = strings.Repeat("a", 43)
			}
			if strings.HasSuffix(name, "_TOKEN") {
				value = "madeuptoken"
			}
		}
		return value, there
	}
	settings, err := ParseSettings(content, t.TempDir(), env)
	if err != nil {
		t.Fatal(err)
	}
	if len(settings.Accounts) != 1 || settings.Accounts[0].Callback == nil || settings.Admin.Listen == "" || len(asked) < 4 {
		t.Errorf("the example shows less than it should: %v", settings)
	}
}
