package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// usualAccount is the name whose variables the rest of zhongkong reads.
const usualAccount = "WECHAT"

// usualApp is that of an app of WeCom.
const usualApp = "WECOM"

var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// values are the variables of one account, by what follows the name and "_".
type values struct {
	name   string // such as WECHAT
	source string // such as ".env, "; "" for the environment
	get    func(suffix string) string
}

// findAccounts looks for what --account names: variables of the environment that
// begin with the name, or a file of NAME_APPID=value lines, which may hold several.
func findAccounts(name string, env func(string) (string, bool)) ([]values, error) {
	if get := func(name string) string { s, _ := env(name); return strings.TrimSpace(s) }; name == usualAccount &&
		get("WECHAT_APPID") == "" && get("WECOM_CORPID") != "" {
		name = usualApp // the environment is that of an app of WeCom
	}
	if namePattern.MatchString(name) {
		v := values{name: name, get: func(suffix string) string {
			s, _ := env(name + "_" + suffix)
			return strings.TrimSpace(s)
		}}
		if v.get("APPID") != "" || v.get("CORPID") != "" || !exists(name) {
			return []values{v}, nil
		}
	}
	content, err := os.ReadFile(name) //nolint:gosec // the user names the file
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err // which does not name the file
	}
	if err != nil {
		return nil, mistake("--account %s is neither a name such as %s nor a file that can be read: %v", argument(name), usualAccount, err)
	}
	lines, err := parseLines(string(content))
	if err != nil {
		return nil, mistake("--account %s: %v", name, err)
	}
	var all []values
	for _, key := range slices.Sorted(maps.Keys(lines)) {
		prefix, found := strings.CutSuffix(key, "_APPID")
		if !found {
			if prefix, found = strings.CutSuffix(key, "_CORPID"); !found {
				continue
			}
		}
		all = append(all, values{name: prefix, source: name + ": ", get: func(suffix string) string { return lines[prefix+"_"+suffix] }})
	}
	if len(all) == 0 {
		return nil, mistake("--account %s: the file has no line %s_APPID=…", name, usualAccount)
	}
	return all, nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// parseLines reads NAME=value lines as shells and .env files have them.
func parseLines(content string) (map[string]string, error) {
	lines := map[string]string{}
	for i, line := range strings.Split(strings.TrimPrefix(content, "\uFEFF"), "\n") {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "export "))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, found := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !found || !namePattern.MatchString(key) {
			return nil, fmt.Errorf("line %d is no NAME=value", i+1) // without the line: it may be a secret
		}
		if _, twice := lines[key]; twice {
			return nil, fmt.Errorf("line %d has %s a second time", i+1, key)
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		lines[key] = value
	}
	return lines, nil
}

// need returns a variable that has to be there.
func (v values) need(suffix, what string) (string, error) {
	if s := v.get(suffix); s != "" {
		return s, nil
	}
	return "", mistake("%s%s_%s is not set: %s", v.source, v.name, suffix, what)
}

// typed finds values that are in each other's place.
func (v values) typed(a simulator.Account, serves bool) error {
	secret := ""
	if serves {
		secret = a.Secret
	}
	err := shape.Check(
		shape.Field{Name: v.source + v.name + "_APPID", Kind: shape.AppID, Value: a.AppID},
		shape.Field{Name: v.source + v.name + "_APPSECRET", Kind: shape.AppSecret, Value: secret},
		shape.Field{Name: v.source + v.name + "_TOKEN", Kind: shape.Token, Value: a.Token},
		shape.Field{Name: v.source + v.name + "_AES_KEY", Kind: shape.AESKey, Value: a.AESKey},
	)
	if err != nil {
		return usageError{err}
	}
	return nil
}

// account makes the account that the variables describe. Who serves the API needs
// the AppSecret, who pushes the Token.
func (v values) account(serves, pushes bool) (simulator.Account, error) {
	a := simulator.Account{
		Token: v.get("TOKEN"), AESKey: v.get("AES_KEY"), OriginalID: v.get("ORIGINAL_ID"),
		Mode: simulator.Mode(v.get("MODE")), Format: simulator.Format(v.get("FORMAT")),
		Secret: "not needed",
	}
	var err error
	if corp := v.get("CORPID"); corp != "" && v.get("APPID") == "" {
		return v.app(a, corp, pushes)
	}
	if v.name == usualApp {
		_, err = v.need("CORPID", "it is the corpid, which begins with ww: 企业微信管理后台 → 我的企业")
		return a, err
	}
	if a.AppID, err = v.need("APPID", "it is the account's appid. zhongkong simulate prints the lines of a made-up account"); err != nil {
		return a, err
	}
	if serves {
		if a.Secret, err = v.need("APPSECRET", "it is the AppSecret with which your program fetches tokens; any value that both know will do"); err != nil {
			return a, err
		}
	}
	if pushes {
		if a.Token, err = v.need("TOKEN", "it is the Token with which your app checks signatures; zhongkong simulate prints it, and for a real account it is in the console (消息推送)"); err != nil {
			return a, err
		}
	}
	if kind := v.get("KIND"); kind != "" {
		if err := a.Kind.UnmarshalText([]byte(kind)); err != nil {
			return a, mistake("%s%s_KIND: %v", v.source, v.name, err)
		}
	}
	if err := v.typed(a, serves && a.Kind != simulator.WeCom); err != nil { // WeCom's Secrets look like AES keys
		return a, err
	}
	a.Whitelist, a.Templates = v.list("WHITELIST"), v.list("TEMPLATES")
	return a, nil
}

// app is account of an app of WeCom, whose variables are those of wecom.ConfigFromEnv.
func (v values) app(a simulator.Account, corp string, pushes bool) (simulator.Account, error) {
	a.Kind, a.AppID = simulator.WeCom, corp+":"+cmp.Or(v.get("AGENTID"), "0")
	a.Secret = cmp.Or(v.get("SECRET"), a.Secret)
	a.Whitelist = v.list("WHITELIST")
	for _, needed := range []string{"TOKEN", "AES_KEY"} {
		if !pushes {
			break
		}
		if _, err := v.need(needed, "it is that of the app's 接收消息; WeCom encrypts all that it sends"); err != nil {
			return a, err
		}
	}
	err := shape.Check(
		shape.Field{Name: v.source + v.name + "_CORPID", Kind: shape.AppID, Value: corp},
		shape.Field{Name: v.source + v.name + "_TOKEN", Kind: shape.Token, Value: a.Token},
		shape.Field{Name: v.source + v.name + "_AES_KEY", Kind: shape.AESKey, Value: a.AESKey},
	)
	if err != nil {
		return a, usageError{err}
	}
	return a, nil
}

// list reads values that are apart by commas.
func (v values) list(name string) (all []string) {
	for entry := range strings.SplitSeq(v.get(name), ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			all = append(all, entry)
		}
	}
	return all
}
