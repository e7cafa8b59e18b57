package gateway

import (
	"errors"
	"fmt"
	"strings"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
)

type accountFile struct {
	Name         string        `yaml:"name"`
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

// Account is a WeChat account of the gateway, or an app of WeCom (企业微信).
type Account struct {
	// Name is for people, such as 主店公众号: at most 64 characters, in pages, logs and metrics.
	// It identifies nothing: two accounts may have the same, and a change of it changes
	// nothing else. Empty means that the AppID is enough.
	Name string

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
// [*shape.Error] over accountFields, or what corpFault finds.
func (a Account) typed() error {
	if err := shape.Name("Name", a.Name); err != nil {
		return err
	}
	if _, isApp := a.weCom(); isApp {
		if fault := a.corpFault(); fault != nil {
			return fault
		}
		return nil
	}
	callback := a.callbackKeys()
	return shape.Check(
		shape.Field{Name: accountFields[0], Kind: shape.AppID, Value: a.AppID},
		shape.Field{Name: accountFields[1], Kind: shape.AppSecret, Value: a.Secret.Reveal()},
		shape.Field{Name: accountFields[2], Kind: shape.Token, Value: callback.Token.Reveal()},
		shape.Field{Name: accountFields[3], Kind: shape.AESKey, Value: callback.AESKey.Reveal()},
	)
}

// callbackKeys is the Callback, or an empty one.
func (a Account) callbackKeys() Callback {
	if a.Callback == nil {
		return Callback{}
	}
	return *a.Callback
}

// corpFault says what cannot be of an app of WeCom, whose AppID is corpid:agentid; nil when
// nothing is wrong. A Secret that is empty is another's business.
func (a Account) corpFault() *fanout.FieldError {
	app, _ := a.weCom()
	callback := a.callbackKeys()
	fields := [...]string{"corpid", "callback.token", "callback.aes_key"}
	err := shape.Check(
		shape.Field{Name: fields[0], Kind: shape.AppID, Value: app.CorpID},
		shape.Field{Name: fields[1], Kind: shape.Token, Value: callback.Token.Reveal()},
		shape.Field{Name: fields[2], Kind: shape.AESKey, Value: callback.AESKey.Reveal()},
	)
	misplaced, _ := errors.AsType[*shape.Error](err)
	switch {
	case misplaced != nil:
		return &fanout.FieldError{Field: "." + fields[misplaced.Index], Err: misplaced}
	case a.TokenAPI != "" || a.Signing != nil:
		return &fanout.FieldError{Err: errors.New("an app of WeCom has no token_api and no signing")}
	case strings.Contains(app.AgentID, ":"):
		return &fanout.FieldError{Field: ".corpid", Err: errors.New("the corpid holds a colon: write the corpid alone, and the agentid in its own field")}
	case app.CorpID == "" || !shape.IsAccount(a.AppID):
		return &fanout.FieldError{Err: errors.New("an app of WeCom has a corpid and an agentid, which is a number: see 企业微信管理后台 → 我的企业, and 应用管理 → the app")}
	case a.Secret.IsZero():
		return nil
	}
	if a.Secret.Equal(callback.AESKey) { // both have 43 characters
		return &fanout.FieldError{Field: ".secret", Err: errors.New("secret and callback.aes_key are the same value: copy each of them again")}
	}
	if err := app.Check(); err != nil {
		return &fanout.FieldError{Err: named.Plain(err)}
	}
	return nil
}

// weCom returns the app of WeCom that the account is, and whether it is one.
func (a Account) weCom() (app wecom.App, isApp bool) {
	corp, agent, isApp := shape.App(a.AppID)
	return wecom.App{CorpID: corp, AgentID: agent, Secret: a.Secret}, isApp && shape.IsAccount(a.AppID)
}

// equal leaves Name and Callback out: their change touches no token.
func (a Account) equal(b Account) bool {
	return a.AppID == b.AppID && a.TokenAPI == b.TokenAPI && a.DailyFetches == b.DailyFetches && a.Secret.Equal(b.Secret) &&
		sameSigning(a.Signing, b.Signing)
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
	if err := shape.Name("name", f.Name); err != nil {
		return Account{}, at(".name", err)
	}
	a := Account{Name: f.Name, AppID: f.id(), DailyFetches: f.DailyFetches}
	var secretErr, callbackErr error
	if !f.Secret.isZero() {
		a.Secret, secretErr = f.Secret.read(folder, env)
	}
	if f.Callback != nil {
		a.Callback, callbackErr = f.Callback.read(folder, env)
	}
	check := f.checkOfficial
	if f.isApp() {
		check = f.checkApp
	}
	if field, err := check(a); err != nil {
		return a, at(field, err)
	}
	if secretErr != nil {
		return a, at(".secret", secretError(a.AppID, secretErr))
	}
	if field, err := f.readWays(&a, folder, env); err != nil {
		return a, at(field, err)
	}
	if callbackErr == nil && a.Callback != nil {
		callbackErr = a.Callback.Check(a.AppID)
	}
	if field, ok := errors.AsType[*fanout.FieldError](callbackErr); ok {
		return a, at(".callback"+field.Field, callbackError(a.AppID, field))
	}
	return a, callbackErr
}

// readWays reads how tokens are fetched and calls are signed, of which an app of WeCom has no
// choice. field is where an error is about.
func (f accountFile) readWays(a *Account, folder string, env func(string) (string, bool)) (field string, err error) {
	if f.isApp() {
		return "", nil
	}
	if a.TokenAPI, err = platform.ParseTokenAPI(f.TokenAPI); err != nil {
		return ".token_api", named.Plain(err)
	}
	if f.Signing != nil {
		if a.Signing, err = f.Signing.read(a.AppID, folder, env); err != nil {
			return ".signing", fmt.Errorf("%s: %w", f.AppID, err)
		}
	}
	return "", nil
}

// checkOfficial says what is wrong with an official account or a mini program, and where.
func (f accountFile) checkOfficial(a Account) (field string, err error) {
	misplaced, _ := errors.AsType[*shape.Error](a.typed())
	switch {
	case f.AppID == "":
		return "", errors.New("the account has no appid")
	case misplaced != nil:
		return "." + accountFields[misplaced.Index], misplaced
	case !shape.IsID(f.AppID):
		return ".appid", errors.New("the appid holds other characters than letters, digits, '-' and '_', or is too long")
	case f.Secret.isZero() && !f.without:
		return "", fmt.Errorf("the account %s has no secret: its AppSecret is in the console (开发密钥)", plainly(f.AppID))
	}
	return "", nil
}

// checkApp is checkOfficial of an app of WeCom.
func (f accountFile) checkApp(a Account) (field string, err error) {
	if f.AppID != "" {
		return ".appid", errors.New("the account has an appid and a corpid: an app of WeCom has corpid and agentid, and no appid")
	}
	a.TokenAPI = platform.TokenAPI(f.TokenAPI)
	if f.Signing != nil {
		a.Signing = new(platform.Signing)
	}
	if fault := a.corpFault(); fault != nil {
		return fault.Field, fault.Err
	}
	if f.Secret.isZero() && !f.without {
		return "", fmt.Errorf("the app %s has no secret: it is in 企业微信管理后台 → 应用管理 → the app", plainly(a.AppID))
	}
	return "", nil
}

// isApp reports whether the account is an app of WeCom.
func (f *accountFile) isApp() bool { return f.CorpID != "" || f.AgentID != "" }

// id is what identifies the account: its appid, or corpid:agentid.
func (f *accountFile) id() string {
	if f.isApp() {
		return f.CorpID + ":" + f.AgentID
	}
	return f.AppID
}

func secretError(appID string, err error) error {
	return fmt.Errorf("the secret of %s: %w", plainly(appID), err)
}

func callbackError(appID string, field *fanout.FieldError) error {
	return fmt.Errorf("callback of %s: %w", plainly(appID), field.Err)
}
