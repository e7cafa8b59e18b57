package wechat

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform"
)

// ConfigFromEnv takes a Config from the environment. A variable that is unset or
// empty leaves its field at the default; the first is required, and either the second
// or the two that follow it.
//
//	WECHAT_APPID             AppID
//	WECHAT_APPSECRET         AppSecret
//	ZHONGKONG_GATEWAY        Gateway: https://zhongkong:8300, several separated by commas
//	ZHONGKONG_GATEWAY_KEY    GatewayKey
//	ZHONGKONG_GATEWAY_CA     GatewayCA: a file
//	WECHAT_TOKEN             Token
//	WECHAT_TOKEN_PREVIOUS    PreviousToken
//	WECHAT_AES_KEY           AESKey
//	WECHAT_AES_KEY_PREVIOUS  PreviousAESKey
//	WECHAT_TOKEN_API         TokenAPI: stable or classic
//	WECHAT_API_BASE          APIBase
//	WECHAT_ORIGIN            Origin: https://shop.example
//	WECHAT_OPEN_BASE         OpenBase
//	WECHAT_FRESHNESS         Freshness: 5m, or 0 to switch the check off
//	ZHONGKONG_STORE          StoreURL: sqlite:… or memory:
//	ZHONGKONG_SEAL_KEY       SealKeys: each 32 bytes in base64, separated by commas
//	ZHONGKONG_LOG_LEVEL      of Logger, which writes to stderr: debug, info, warn, error
//
// and those of [TimingFrom], of which a slow network needs ZHONGKONG_FETCH_TIMEOUT, if
// any.
//
// An error names the variable and the rule it breaks, never a secret's value.
func ConfigFromEnv() (Config, error) { return ConfigFrom(os.Getenv) }

// ConfigFrom is [ConfigFromEnv] with the variables of get, which returns "" for one
// that is not set: for programs that keep them elsewhere, or open a store on their
// own and hide ZHONGKONG_STORE.
func ConfigFrom(get func(name string) string) (Config, error) {
	secret := func(name string) custody.Secret { return Secret(get(name)) }
	c := Config{
		AppID:          get("WECHAT_APPID"),
		AppSecret:      secret("WECHAT_APPSECRET"),
		Gateway:        get("ZHONGKONG_GATEWAY"),
		GatewayKey:     secret("ZHONGKONG_GATEWAY_KEY"),
		GatewayCA:      get("ZHONGKONG_GATEWAY_CA"),
		Token:          secret("WECHAT_TOKEN"),
		PreviousToken:  secret("WECHAT_TOKEN_PREVIOUS"),
		AESKey:         secret("WECHAT_AES_KEY"),
		PreviousAESKey: secret("WECHAT_AES_KEY_PREVIOUS"),
		TokenAPI:       platform.TokenAPI(get("WECHAT_TOKEN_API")),
		APIBase:        get("WECHAT_API_BASE"),
		Origin:         get("WECHAT_ORIGIN"),
		OpenBase:       get("WECHAT_OPEN_BASE"),
		StoreURL:       get("ZHONGKONG_STORE"),
	}
	var err error
	if c.Freshness, err = freshnessFrom(get); err != nil {
		return Config{}, err
	}
	if c.SealKeys, err = sealKeysFrom(get); err != nil {
		return Config{}, err
	}
	if c.Logger, err = loggerFrom(get); err != nil {
		return Config{}, err
	}
	if c.Timing, err = TimingFrom(get); err != nil {
		return Config{}, named.Errorf("wechat", "%w", err)
	}
	if err := c.WithDefaults().validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// TimingFrom takes a [custody.Timing] from the variables of get, which returns "" for one
// that is not set. Each is a positive duration such as 8s; one that is not set leaves its
// field at the default.
//
//	ZHONGKONG_FETCH_TIMEOUT   FetchTimeout
//	ZHONGKONG_SAVE_TIMEOUT    SaveTimeout
//	ZHONGKONG_LEASE_TTL       LeaseTTL
//	ZHONGKONG_STORE_TIMEOUT   StoreTimeout
//	ZHONGKONG_PROBE_TIMEOUT   ProbeTimeout
//	ZHONGKONG_STORE_PATIENCE  StorePatience
//
// An error names the variable.
func TimingFrom(get func(name string) string) (custody.Timing, error) {
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

func freshnessFrom(get func(string) string) (time.Duration, error) {
	text := get("WECHAT_FRESHNESS")
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, named.Errorf("wechat", "WECHAT_FRESHNESS is %s: it must be a duration such as 5m, or 0 to accept pushes of any age", shape.Show(text))
	}
	if d == 0 {
		return -1, nil
	}
	return d, nil
}

func sealKeysFrom(get func(string) string) ([]custody.Secret, error) {
	text := get("ZHONGKONG_SEAL_KEY")
	if text == "" {
		return nil, nil
	}
	var keys []custody.Secret
	for encoded := range strings.SplitSeq(text, ",") {
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
		if err != nil || len(key) != 32 {
			return nil, named.Errorf("wechat", "ZHONGKONG_SEAL_KEY, key %d, is not base64 of 32 bytes: make one with openssl rand -base64 32", len(keys)+1)
		}
		keys = append(keys, Secret(string(key)))
	}
	return keys, nil
}

func loggerFrom(get func(string) string) (*slog.Logger, error) {
	level := slog.LevelInfo
	if text := get("ZHONGKONG_LOG_LEVEL"); text != "" {
		if err := level.UnmarshalText([]byte(text)); err != nil {
			return nil, named.Errorf("wechat", "ZHONGKONG_LOG_LEVEL is %s: it must be debug, info, warn or error", shape.Show(text))
		}
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})), nil
}
