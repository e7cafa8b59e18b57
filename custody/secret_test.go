package custody_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// printed is everything that fmt, slog and JSON make of v.
func printed(v any) string {
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%10.3v"} {
		fmt.Fprintf(&b, verb+"\n", v)
		fmt.Fprintf(&b, verb+"\n", struct{ inner any }{v})
	}
	var log logtest.Log
	log.Logger(slog.LevelDebug).Info("value", "value", v, slog.Group("group", "inner", v))
	slog.New(slog.NewJSONHandler(&log, nil)).Info("value", "value", v)
	data, _ := json.Marshal(v)
	b.Write(data)
	return b.String() + log.String()
}

// mustHide checks that none of the secrets stands in text, in the clear or in a
// form that fmt makes of it.
func mustHide(t *testing.T, what, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		for _, form := range []string{
			secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"),
			strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", []byte(secret)), "[]byte{"), "}"),
		} {
			if at := strings.Index(text, form); at >= 0 {
				t.Errorf("%s tells a secret: …%s…", what, text[max(0, at-60):min(len(text), at+len(form)+20)])
			}
		}
	}
}

// TestNothingPrints: no verb, logger or encoder shows a secret, a token or a
// seal key, wherever it is held.
func TestNothingPrints(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, st *memory.Store) {
		const appSecret, seal = "0123456789abcdef0123456789abcdef", "seal-key-seal-key-seal-key-seal!"
		var log logtest.Log
		cfg := config(i, st)
		cfg.Secret = custody.NewSecret(appSecret)
		cfg.SealKeys = []custody.Secret{custody.NewSecret(seal)}
		cfg.Logger = log.Logger(slog.LevelDebug)
		k := open(t, cfg)
		token := mustToken(t, k, value(1))
		i.supersede()
		if _, err := k.Reject(t.Context(), value(1)); err != nil {
			t.Fatal(err)
		}
		_, refused := k.Reject(t.Context(), value(2)) // accepted: a belief about the value is held
		synctest.Wait()
		secrets := []string{appSecret, seal, value(1), value(2)}
		record := custody.Record{Value: value(1), Notes: []byte("{}")}
		type wrapper struct {
			secret custody.Secret
			token  custody.Token
			keeper *custody.Keeper
			config custody.Config
		}
		for name, v := range map[string]any{
			"Secret": cfg.Secret, "*Secret": &cfg.Secret, "Config": cfg, "*Config": &cfg,
			"Token": token, "*Token": &token, "Keeper": k, "Status": k.Status(), "error": refused,
			"a struct": wrapper{cfg.Secret, token, k, cfg}, "a pointer": &wrapper{cfg.Secret, token, k, cfg},
			"a slice": []custody.Secret{cfg.Secret}, "a map": map[string]custody.Token{"token": token},
			"Grant": grant(1),
		} {
			mustHide(t, name, printed(v), secrets...)
		}
		for name, v := range map[string]any{
			"Record": record, "Lease": custody.Lease{Record: record}, "Row": store.Row{Value: value(1)},
			"a pointer to a Row": &store.Row{Value: value(1)}, "a struct with a Record": struct{ Inner custody.Record }{record},
		} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
				mustHide(t, name, fmt.Sprintf(verb, v), secrets...)
			}
		}
		plain := config(i, st)
		plain.Key.AppID = "wxfedcba9876543210"
		if _, err := open(t, plain).Token(t.Context()); err != nil { // in the clear inside the st
			t.Fatal(err)
		}
		synctest.Wait()
		mustHide(t, "a Config with a st in memory", printed(plain), value(3))
		mustHide(t, "the log", log.String(), secrets...)
		if !strings.Contains(log.String(), "renewed") {
			t.Error("the log is silent about renewals")
		}
		if text := fmt.Sprint(cfg.Secret); text != "[secret]" {
			t.Errorf("a secret prints as %q", text)
		}
	})
}

func TestSecret(t *testing.T) {
	t.Parallel()
	var zero custody.Secret
	a, b := custody.NewSecret("open sesame"), custody.NewSecret("open sesame")
	if !zero.IsZero() || zero.Reveal() != "" || zero.String() != "" || !custody.NewSecret("").IsZero() {
		t.Error("the zero Secret is not empty")
	}
	if a.IsZero() || a.Reveal() != "open sesame" || !a.Equal(b) || a.Equal(zero) || !zero.Equal(custody.Secret{}) {
		t.Error("Equal, Reveal and IsZero disagree")
	}
	var c struct{ Key custody.Secret }
	if err := json.Unmarshal([]byte(`{"Key":"open sesame"}`), &c); err != nil || !c.Key.Equal(a) {
		t.Errorf("from JSON: %v, %v", c.Key.Reveal(), err)
	}
	if data, err := json.Marshal(c); err != nil || string(data) != `{"Key":"[secret]"}` {
		t.Errorf("to JSON: %s, %v", data, err)
	}
}

// TestConfigIsChecked: the error names the field and the rule.
func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*custody.Config){
		"Key.Kind":                  func(c *custody.Config) { c.Key.Kind = "" },
		"Key.AppID":                 func(c *custody.Config) { c.Key.AppID = "" },
		"Key.API":                   func(c *custody.Config) { c.Key.API = "a/b" },
		"Key.Host":                  func(c *custody.Config) { c.Key.Host = "a b" },
		"more than 255":             func(c *custody.Config) { c.Key.AppID = strings.Repeat("a", 300) },
		"Kind.Fetch":                func(c *custody.Config) { c.Kind.Fetch = nil },
		"Kind.DailyFetches":         func(c *custody.Config) { c.Kind.DailyFetches = -1 },
		"Kind.HourlyFetches":        func(c *custody.Config) { c.Kind.HourlyFetches = -1 },
		"Kind.MinuteFetches":        func(c *custody.Config) { c.Kind.MinuteFetches = -1 },
		"Kind.Shared.HourlyFetches": func(c *custody.Config) { c.Kind.Shared.HourlyFetches = -1 },
		"of Config.Kind.Shared":     func(c *custody.Config) { c.Kind.Shared.HourlyFetches = 1 },
		"Kind.Shared.Key is Config.Key": func(c *custody.Config) {
			c.Kind.Shared = custody.Shared{Key: c.Key, HourlyFetches: 1}
		},
		"Store":   func(c *custody.Config) { c.Store = nil },
		"Overlap": func(c *custody.Config) { c.Overlap = -1 },
		"Timing.SaveTimeout": func(c *custody.Config) {
			c.Timing.SaveTimeout = -1
		},
		"LeaseTTL is 1s": func(c *custody.Config) { c.Timing.LeaseTTL = time.Second },
	} {
		cfg := config(&issuer{}, memory.New())
		change(&cfg)
		k, err := custody.New(cfg)
		if err == nil {
			_ = k.Close()
			t.Errorf("New took a wrong %s", field)
		} else if !strings.Contains(err.Error(), field) {
			t.Errorf("the error does not name %s: %v", field, err)
		}
	}
}

func TestZeroToken(t *testing.T) {
	t.Parallel()
	var token custody.Token
	if token.Value() != "" || token.Left() != 0 || token.Fence() != 0 || token.Origin() != "" || token.String() != "" {
		t.Errorf("the zero Token is not empty: %q", token.Value())
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	if err := (&custody.FetchError{Err: cause}); !errors.Is(err, cause) || err.Error() != "cause" {
		t.Errorf("FetchError: %v", err)
	}
	if text := (&custody.HeldError{Left: 1234 * time.Millisecond}).Error(); !strings.Contains(text, "1.2s") {
		t.Errorf("HeldError: %s", text)
	}
	for left, want := range map[time.Duration]string{
		0: "no hint", 90*time.Second + 400*time.Millisecond: "no hint; next attempt in 1m30s", 1500 * time.Microsecond: "no hint; next attempt in 2ms",
	} {
		if got := (&custody.Error{Key: accessToken, Text: "no hint", RetryAfter: left}).Error(); got != "zhongkong: access_token of wx0123456789abcdef: "+want {
			t.Errorf("Error with %s: %s", left, got)
		}
	}
}
