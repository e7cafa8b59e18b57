package custody

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// TestZones holds the fast path of Token against zone.
func TestZones(t *testing.T) {
	t.Parallel()
	base := time.Now()
	h := Config{}.newHeld(NewSecret("91_value"), 1, 2*time.Hour, base, 2*time.Hour)
	for at, want := range map[time.Duration]zone{
		0: zoneFresh, h.fresh - 1: zoneFresh, h.fresh: zoneAdvisory, h.dead - 1: zoneAdvisory, h.dead: zoneDead, 3 * time.Hour: zoneDead,
	} {
		if got := h.zone(base.Add(at)); got != want {
			t.Errorf("after %s: zone %d, want %d", at, got, want)
		}
	}
	if (*held)(nil).zone(base) != zoneDead {
		t.Error("nothing is not dead")
	}
	if h.suspected().live(base) || h.suspected().refused != h {
		t.Error("a suspected value is live, or does not remember")
	}
}

// FuzzNotes: whatever stands in a record's notes does not stop a Keeper, and
// what it writes fits and reads back.
func FuzzNotes(f *testing.F) {
	f.Add([]byte(nil), "text")
	f.Add([]byte("{}"), "the AppSecret is wrong")
	f.Add([]byte(`{"failures":[{"by":"a","class":"blocked","text":"x","count":3,"next":1}],"forced":3,"young":[1,2]}`), "\x00\u2028<>&\"")
	f.Add([]byte(`[]`), "密钥错误")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		n := parseNotes(data)
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		n.failure("a", "b")
		n.breaker(now, 1)
		if wait := n.mayForce(now); wait < 0 || wait > 24*time.Hour {
			t.Errorf("a forced fetch has to wait %s", wait)
		}
		n.force(now)
		n.diedYoung(now)
		for range 6 {
			n.fail(failureNote{By: "a", Class: ClassBlocked, Text: text, Count: 1, Next: now.UnixMicro()})
		}
		out := n.bytes()
		if len(out) > MaxNotesBytes || !json.Valid(out) {
			t.Fatalf("%d bytes of notes, valid: %t", len(out), json.Valid(out))
		}
		again := parseNotes(out)
		if !bytes.Equal(again.bytes(), out) {
			t.Errorf("read back:\n%s\nwritten:\n%s", again.bytes(), out)
		}
	})
}

// FuzzStored: no record of a store stops a Keeper's look or makes a token live longer
// than its stated life.
func FuzzStored(f *testing.F) {
	f.Add("91_x", "", int64(time.Hour), int64(2*time.Hour), "")
	f.Add("c2VhbGVk", "0123456789abcdef", int64(-1), int64(9), "k")
	f.Add("", "", int64(-1<<63), int64(1<<63-1), "")
	f.Fuzz(func(t *testing.T, value, sealKey string, left, life int64, seal string) {
		now := time.Now()
		var s sealer
		if len(seal) == sealKeyBytes {
			var err error
			if s, err = newSealer([]Secret{NewSecret(seal)}); err != nil {
				t.Fatal(err)
			}
		}
		if opened, err := s.open("name", value, sealKey); err == nil && sealKey != "" {
			t.Errorf("a forged value was opened: %q", opened.Reveal())
		}
		stated := time.Duration(life)
		h := Config{}.newHeld(NewSecret(value), 1, stated, now, min(time.Duration(left), stated))
		if h.dead > max(stated, 0) || (stated > 0 && h.live(now.Add(stated))) {
			t.Errorf("a life of %s is live for %s", stated, h.dead)
		}
	})
}

// Sleep makes the wall clock of the held value run ahead of the monotonic one by d, as
// it does when the machine sleeps.
func (k *Keeper) Sleep(d time.Duration) {
	h := *k.state.held.Load()
	h.wall -= int64(d)
	k.state.held.Store(&h)
}

// Fingerprints returns the names under which a Keeper of c notes failures: those of the
// account, and those of this host.
func (c Config) Fingerprints() (account, host string) { return c.fingerprints() }

// NotedFailures returns the names under which failures stand in a record's notes.
func NotedFailures(notes []byte) (by []string) {
	for _, failure := range parseNotes(notes).Failures {
		by = append(by, failure.By)
	}
	return by
}
