package wechat

import (
	"fmt"
	"os"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/environ"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
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
//	ZHONGKONG_SEAL_KEY_FILE  the same from a file
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
	a, err := environ.Read(get)
	if err != nil {
		return Config{}, fmt.Errorf("wechat: %w", err)
	}
	c := Config{
		AppID: a.AppID, AppSecret: a.AppSecret, Gateway: a.Gateway, GatewayKey: a.GatewayKey, GatewayCA: a.GatewayCA,
		Token: a.Token, PreviousToken: a.PreviousToken, AESKey: a.AESKey, PreviousAESKey: a.PreviousAESKey,
		TokenAPI: a.TokenAPI, APIBase: a.APIBase, SealKeys: a.SealKeys, Timing: a.Timing, Logger: a.Logger,
		Origin: get("WECHAT_ORIGIN"), OpenBase: get("WECHAT_OPEN_BASE"), StoreURL: get("ZHONGKONG_STORE"),
	}
	if c.Freshness, err = freshnessFrom(get); err != nil {
		return Config{}, err
	}
	if err := c.WithDefaults().validate(); err != nil {
		return Config{}, err
	}
	return c, nil
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
func TimingFrom(get func(name string) string) (custody.Timing, error) { return environ.Timing(get) }
