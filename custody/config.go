package custody

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Config describes one credential and where it is kept.
type Config struct {
	// Key names the credential. Required.
	Key Key

	// Kind says how to fetch it. Required.
	Kind Kind

	// Store keeps it. Required. The Keeper does not close it.
	Store Store

	// Secret is what Fetch authenticates with (the AppSecret). The Keeper never
	// sends it; it keys the fingerprints of failures, so that a corrected secret
	// is tried at once while the wrong one still waits.
	Secret Secret

	// SealKeys, 32 bytes each, seal the value in the store with AES-256-GCM. The
	// first one seals, all open, so a key is rotated by putting a new one in
	// front. Without keys the value is stored in the clear; with keys, one in the
	// clear is never used, but replaced.
	SealKeys []Secret

	// Overlap is how long a superseded value still works. Zero means WeChat's
	// rule, min(5 min, life/24). It matters only after an unknown outcome, and
	// not at all where Kind.Idempotent is set.
	Overlap time.Duration

	// FetchWithoutStore lets this process fetch although the store has been unavailable
	// for Timing.StorePatience and its token is about to expire, which counts only
	// where Kind.Idempotent is not set: two processes that both do it invalidate each
	// other's token, so set it in one at most. Idempotent kinds are always
	// fetched then, since nothing new is issued.
	FetchWithoutStore bool

	// Timing bounds each step of a renewal. The zero value is right for WeChat;
	// tests shrink it.
	Timing Timing

	// Scheduler starts renewals ahead of time. Keepers that share one share its
	// heap, its goroutine and its pace. Nil gives this Keeper one of its own.
	Scheduler *Scheduler

	// Logger receives renewals (Info) and failures (Warn). Nil discards them.
	Logger *slog.Logger

	// Trace receives the same and more, for programs. Nil costs nothing.
	Trace *Trace
}

// Timing bounds the steps of a renewal. A zero field means its default.
type Timing struct {
	FetchTimeout time.Duration // 8 s: one fetch; after a holder's fetch timed out, the next one may take twice as long, four times at most
	SaveTimeout  time.Duration // 2 s: one Store.Save
	LeaseTTL     time.Duration // 5 s: the lease, which its holder extends while it fetches; at least SaveTimeout
	StoreTimeout time.Duration // 1 s: any other call of the store
	ProbeTimeout time.Duration // 3 s: one probe

	// 15 s: how long a store may be silent, or take nothing, before it counts as
	// unavailable; callers without a live token wait so long.
	StorePatience time.Duration
}

// WithDefaults returns a copy with every zero field filled in.
func (t Timing) WithDefaults() Timing {
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.FetchTimeout, 8 * time.Second},
		{&t.SaveTimeout, 2 * time.Second},
		{&t.StoreTimeout, time.Second},
		{&t.ProbeTimeout, 3 * time.Second},
		{&t.StorePatience, 15 * time.Second},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	if t.LeaseTTL == 0 {
		t.LeaseTTL = max(5*time.Second, t.SaveTimeout+t.StoreTimeout)
	}
	return t
}

// WithDefaults returns a copy with every zero field filled in that has a
// default.
func (c Config) WithDefaults() Config {
	c.Timing = c.Timing.WithDefaults()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// validate names the field that is wrong and the rule it breaks.
func (c Config) validate() error {
	if err := c.Key.Check(); err != nil {
		return err
	}
	if c.Kind.Fetch == nil {
		return errors.New("zhongkong: Config.Kind.Fetch is nil: it says how to get the credential")
	}
	if c.Kind.DailyFetches < 0 {
		return fmt.Errorf("zhongkong: Config.Kind.DailyFetches is %d: it must not be negative; 0 means no limit", c.Kind.DailyFetches)
	}
	for _, limit := range []struct {
		name  string
		value int
	}{
		{"HourlyFetches", c.Kind.HourlyFetches},
		{"MinuteFetches", c.Kind.MinuteFetches},
		{"Shared.HourlyFetches", c.Kind.Shared.HourlyFetches},
	} {
		if limit.value < 0 {
			return fmt.Errorf("zhongkong: Config.Kind.%s is %d: it must not be negative; 0 means no limit", limit.name, limit.value)
		}
	}
	if s := c.Kind.Shared; s.HourlyFetches > 0 {
		if err := s.Key.Check(); err != nil {
			return fmt.Errorf("%w (of Config.Kind.Shared)", err)
		}
		if s.Key == c.Key {
			return errors.New("zhongkong: Config.Kind.Shared.Key is Config.Key: the common count has a record of its own")
		}
	}
	if c.Store == nil {
		return errors.New("zhongkong: Config.Store is nil: open one, for instance with store/sqlite")
	}
	if c.Overlap < 0 {
		return fmt.Errorf("zhongkong: Config.Overlap is %s: it must not be negative", c.Overlap)
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{
		{"FetchTimeout", c.Timing.FetchTimeout},
		{"SaveTimeout", c.Timing.SaveTimeout},
		{"LeaseTTL", c.Timing.LeaseTTL},
		{"StoreTimeout", c.Timing.StoreTimeout},
		{"ProbeTimeout", c.Timing.ProbeTimeout},
		{"StorePatience", c.Timing.StorePatience},
	} {
		if f.value < 0 {
			return fmt.Errorf("zhongkong: Config.Timing.%s is %s: it must not be negative", f.name, f.value)
		}
	}
	if t := c.Timing; t.SaveTimeout > t.LeaseTTL {
		return fmt.Errorf("zhongkong: Config.Timing: LeaseTTL is %s, and SaveTimeout %s: a lease must last as long as one Save, or it ends before what was fetched is saved", t.LeaseTTL, t.SaveTimeout)
	}
	return nil
}

// overlapOf returns for how long a value of that life may be trusted after it
// was, perhaps, superseded: the overlap less a reserve for slow clocks and
// networks.
func (c Config) overlapOf(life time.Duration) time.Duration {
	overlap := c.Overlap
	if overlap == 0 {
		overlap = min(5*time.Minute, life/24)
	}
	return overlap - min(30*time.Second, overlap/10)
}

// fingerprints name the failures of this configuration in the common record:
// account for those that any host would meet, host for those that belong to
// this machine's address. They are HMACs, so the record tells nothing about the
// secret.
func (c Config) fingerprints() (account, host string) {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown host"
	}
	mac := func(text string) string {
		h := hmac.New(sha256.New, []byte(c.Secret.Reveal()))
		h.Write([]byte(text))
		return hex.EncodeToString(h.Sum(nil)[:8])
	}
	return mac(c.Key.String()), mac(c.Key.String() + "\n" + name)
}
