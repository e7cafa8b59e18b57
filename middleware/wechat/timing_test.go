package wechat_test

import (
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
)

// TestTimingFrom: each step of a renewal has its variable, and a mistake names it.
func TestTimingFrom(t *testing.T) {
	names := []string{
		"ZHONGKONG_FETCH_TIMEOUT", "ZHONGKONG_SAVE_TIMEOUT", "ZHONGKONG_LEASE_TTL",
		"ZHONGKONG_STORE_TIMEOUT", "ZHONGKONG_PROBE_TIMEOUT", "ZHONGKONG_STORE_PATIENCE",
	}
	env := map[string]string{
		"WECHAT_APPID": "wx0123456789abcdef", "WECHAT_APPSECRET": "made-up",
		names[0]: "20s", names[1]: "3s", names[2]: "30s", names[3]: "500ms", names[4]: "4s", names[5]: "1m",
	}
	get := func(name string) string { return env[name] }
	want := custody.Timing{
		FetchTimeout: 20 * time.Second, SaveTimeout: 3 * time.Second, LeaseTTL: 30 * time.Second,
		StoreTimeout: 500 * time.Millisecond, ProbeTimeout: 4 * time.Second, StorePatience: time.Minute,
	}
	if cfg, err := wechat.ConfigFrom(get); err != nil || cfg.Timing != want {
		t.Errorf("%v: %+v, want %+v", err, cfg.Timing, want)
	}
	for _, name := range names {
		for _, text := range []string{"8", "0s", "-1s", "soon"} {
			before := env[name]
			env[name] = text
			if _, err := wechat.ConfigFrom(get); err == nil || !strings.Contains(err.Error(), name+" is ") {
				t.Errorf("%s=%s: %v", name, text, err)
			}
			env[name] = before
		}
	}
	if timing, err := wechat.TimingFrom(func(string) string { return "" }); err != nil || timing != (custody.Timing{}) {
		t.Errorf("%v: %+v, want none", err, timing)
	}
}
