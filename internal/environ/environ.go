// Package environ reads what programs and commands share from environment variables: an
// account, the way to its token, keys and times.
package environ

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform"
)

// Account is what the variables say of an account; see wechat.ConfigFromEnv for each.
type Account struct {
	AppID      string
	AppSecret  custody.Secret
	Gateway    string
	GatewayKey custody.Secret
	GatewayCA  string
	TokenAPI   platform.TokenAPI
	APIBase    string

	Token, PreviousToken   custody.Secret
	AESKey, PreviousAESKey custody.Secret

	SealKeys []custody.Secret
	Timing   custody.Timing
	Logger   *slog.Logger // writes to stderr, at ZHONGKONG_LOG_LEVEL
}

// Read reads the variables of get, which returns "" for one that is not set. Its errors
// name the variable. What it returns is unchecked but for what has no other form.
func Read(get func(name string) string) (Account, error) {
	secret := func(name string) custody.Secret { return custody.NewSecret(get(name)) }
	a := Account{
		AppID: get("WECHAT_APPID"), AppSecret: secret("WECHAT_APPSECRET"),
		Gateway: get("ZHONGKONG_GATEWAY"), GatewayKey: secret("ZHONGKONG_GATEWAY_KEY"), GatewayCA: get("ZHONGKONG_GATEWAY_CA"),
		TokenAPI: platform.TokenAPI(get("WECHAT_TOKEN_API")), APIBase: get("WECHAT_API_BASE"),
		Token: secret("WECHAT_TOKEN"), PreviousToken: secret("WECHAT_TOKEN_PREVIOUS"),
		AESKey: secret("WECHAT_AES_KEY"), PreviousAESKey: secret("WECHAT_AES_KEY_PREVIOUS"),
	}
	var err error
	if a.SealKeys, err = SealKeys(get); err != nil {
		return Account{}, err
	}
	if a.Logger, err = logger(get); err != nil {
		return Account{}, err
	}
	a.Timing, err = Timing(get)
	return a, err
}

// Checked is Read with the defaults of TokenAPI, APIBase and Timing, and checked.
func Checked(get func(name string) string) (Account, error) {
	a, err := Read(get)
	if err != nil {
		return Account{}, err
	}
	if a.TokenAPI == "" {
		a.TokenAPI = platform.Stable
	}
	if a.APIBase == "" {
		a.APIBase = platform.DefaultBase
	}
	a.Timing = a.Timing.WithDefaults()
	if err := a.Check(); err != nil {
		return Account{}, err
	}
	if err := platform.CheckBase(a.APIBase); err != nil {
		return Account{}, fmt.Errorf("Config.APIBase (WECHAT_API_BASE) %w", err)
	}
	return a, nil
}

// Check names what is wrong with an account whose defaults are filled in. It finds values
// that are in each other's place, and never shows a secret.
func (a Account) Check() error {
	err := shape.Check(
		shape.Field{Name: "Config.AppID (WECHAT_APPID)", Kind: shape.AppID, Value: a.AppID},
		shape.Field{Name: "Config.AppSecret (WECHAT_APPSECRET)", Kind: shape.AppSecret, Value: a.AppSecret.Reveal()},
		shape.Field{Name: "Config.Token (WECHAT_TOKEN)", Kind: shape.Token, Value: a.Token.Reveal()},
		shape.Field{Name: "Config.AESKey (WECHAT_AES_KEY)", Kind: shape.AESKey, Value: a.AESKey.Reveal()},
		shape.Field{Name: "Config.GatewayKey (ZHONGKONG_GATEWAY_KEY)", Kind: shape.ClientKey, Value: a.GatewayKey.Reveal()},
		shape.Field{Name: "Config.PreviousToken (WECHAT_TOKEN_PREVIOUS)", Kind: shape.Token, Value: a.PreviousToken.Reveal()},
		shape.Field{Name: "Config.PreviousAESKey (WECHAT_AES_KEY_PREVIOUS)", Kind: shape.AESKey, Value: a.PreviousAESKey.Reveal()},
	)
	if err != nil {
		return err
	}
	if err := a.check(); err != nil {
		return err
	}
	return a.checkCallback()
}

// checkCallback is for what WeChat sends.
func (a Account) checkCallback() error {
	if a.Token.IsZero() && !a.PreviousToken.IsZero() {
		return errors.New("Config.PreviousToken (WECHAT_TOKEN_PREVIOUS) is set without Config.Token (WECHAT_TOKEN)")
	}
	if a.AESKey.IsZero() && !a.PreviousAESKey.IsZero() {
		return errors.New("Config.PreviousAESKey (WECHAT_AES_KEY_PREVIOUS) is set without Config.AESKey (WECHAT_AES_KEY)")
	}
	for _, f := range []struct {
		name string
		key  custody.Secret
	}{
		{"Config.AESKey (WECHAT_AES_KEY)", a.AESKey},
		{"Config.PreviousAESKey (WECHAT_AES_KEY_PREVIOUS)", a.PreviousAESKey},
	} {
		if f.key.IsZero() {
			continue
		}
		if _, err := callback.NewVerifier(callback.Config{AppID: a.AppID, Token: f.key, AESKey: f.key}); err != nil {
			return fmt.Errorf("%s cannot be used: %w", f.name, errors.Unwrap(err))
		}
	}
	return nil
}

func (a Account) check() error {
	if a.AppID == "" {
		return errors.New("Config.AppID (WECHAT_APPID) is empty: take it from the console, it begins with wx; " +
			"without an account, zhongkong simulate makes one up for this machine")
	}
	if strings.ContainsFunc(a.AppID, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' }) {
		return fmt.Errorf("Config.AppID (WECHAT_APPID) is %s: it has other characters than letters and digits", shape.Show(a.AppID))
	}
	switch secret := a.AppSecret.Reveal(); {
	case a.Gateway == "" && a.GatewayCA != "":
		return errors.New("Config.GatewayCA (ZHONGKONG_GATEWAY_CA) is set without Config.Gateway (ZHONGKONG_GATEWAY), the gateway's address")
	case a.Gateway == "" && !a.GatewayKey.IsZero():
		return errors.New("Config.GatewayKey (ZHONGKONG_GATEWAY_KEY) is set without Config.Gateway (ZHONGKONG_GATEWAY), the gateway's address")
	case a.Gateway != "" && secret != "":
		return errors.New("Config.Gateway (ZHONGKONG_GATEWAY) and Config.AppSecret (WECHAT_APPSECRET) are both set: with a gateway, take the AppSecret away from this program")
	case a.Gateway != "" && a.GatewayKey.IsZero():
		return errors.New("Config.GatewayKey (ZHONGKONG_GATEWAY_KEY) is empty: it is the client's key, which zhongkong client add prints")
	case a.Gateway != "":
	case secret == "":
		return errors.New("Config.AppSecret (WECHAT_APPSECRET) is empty: take it from the console (开发密钥)")
	case strings.ContainsFunc(secret, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return errors.New("Config.AppSecret (WECHAT_APPSECRET) holds white space or a control character: copy it again")
	}
	if a.TokenAPI != platform.Stable && a.TokenAPI != platform.Classic {
		return fmt.Errorf("Config.TokenAPI (WECHAT_TOKEN_API) is %s: it must be %q or %q",
			shape.Show(string(a.TokenAPI)), platform.Stable, platform.Classic)
	}
	return nil
}

// Timing reads the variables that wechat.TimingFrom lists.
func Timing(get func(name string) string) (custody.Timing, error) {
	var t custody.Timing
	for _, f := range []struct {
		name  string
		field *time.Duration
	}{
		{"ZHONGKONG_FETCH_TIMEOUT", &t.FetchTimeout},
		{"ZHONGKONG_SAVE_TIMEOUT", &t.SaveTimeout},
		{"ZHONGKONG_LEASE_TTL", &t.LeaseTTL},
		{"ZHONGKONG_STORE_TIMEOUT", &t.StoreTimeout},
		{"ZHONGKONG_PROBE_TIMEOUT", &t.ProbeTimeout},
		{"ZHONGKONG_STORE_PATIENCE", &t.StorePatience},
	} {
		text := get(f.name)
		if text == "" {
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return custody.Timing{}, fmt.Errorf("%s is %s: it must be a positive duration such as 8s or 500ms", f.name, shape.Show(text))
		}
		*f.field = d
	}
	return t, nil
}

// maxKeyFile is in bytes; a key has 44.
const maxKeyFile = 64 << 10

// SealKeys reads ZHONGKONG_SEAL_KEY: each 32 bytes in base64, separated by commas; or the
// file that ZHONGKONG_SEAL_KEY_FILE names, in which a line may end after each too. A file
// keeps the keys out of the environment, which other programs of the user can read: a
// mounted secret, or a credential of systemd.
func SealKeys(get func(string) string) ([]custody.Secret, error) {
	name, text, path := "ZHONGKONG_SEAL_KEY", get("ZHONGKONG_SEAL_KEY"), get("ZHONGKONG_SEAL_KEY_FILE")
	switch {
	case path != "" && text != "":
		return nil, errors.New("ZHONGKONG_SEAL_KEY and ZHONGKONG_SEAL_KEY_FILE are both set: take one of the two away")
	case path != "":
		if err := shape.Path("ZHONGKONG_SEAL_KEY_FILE", path); err != nil {
			return nil, err
		}
		for part := range strings.SplitSeq(path, ",") {
			if key, err := base64.StdEncoding.DecodeString(strings.Trim(part, "\"' \t")); err == nil && len(key) == 32 {
				return nil, errors.New("ZHONGKONG_SEAL_KEY_FILE holds what looks like a key: it is the path of a file with the key in it")
			}
		}
		content, err := readFile(path)
		if failed, ok := errors.AsType[*fs.PathError](err); ok {
			err = failed.Err // without the path, which may be a key that was cut
		}
		if err != nil {
			return nil, fmt.Errorf("the file that ZHONGKONG_SEAL_KEY_FILE names cannot be read: %w", err)
		}
		name = "ZHONGKONG_SEAL_KEY_FILE " + path
		if text = strings.Join(strings.FieldsFunc(content, func(r rune) bool { return r == '\n' || r == '\r' || r == ',' }), ","); text == "" {
			return nil, fmt.Errorf("%s holds no key: make one with openssl rand -base64 32", name)
		}
	case text == "":
		return nil, nil
	}
	var keys []custody.Secret
	for encoded := range strings.SplitSeq(text, ",") {
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
		if err != nil || len(key) != 32 {
			return nil, fmt.Errorf("%s, key %d, is not base64 of 32 bytes: make one with openssl rand -base64 32", name, len(keys)+1)
		}
		keys = append(keys, custody.NewSecret(string(key)))
	}
	return keys, nil
}

func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	return string(content), err
}

func logger(get func(string) string) (*slog.Logger, error) {
	level := slog.LevelInfo
	if text := get("ZHONGKONG_LOG_LEVEL"); text != "" {
		if err := level.UnmarshalText([]byte(text)); err != nil {
			return nil, fmt.Errorf("ZHONGKONG_LOG_LEVEL is %s: it must be debug, info, warn or error", shape.Show(text))
		}
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})), nil
}
