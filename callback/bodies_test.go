package callback

import (
	"fmt"
	"testing"
	"time"
)

// TestOpenReused: in plain mode a signature is good for one body.
func TestOpenReused(t *testing.T) {
	_, plain := vectors(t)
	v := plain[0]
	q := Query{Signature: v.Signature, Timestamp: v.Timestamp, Nonce: v.Nonce}
	first, second := []byte("<xml><Content>1</Content></xml>"), []byte("<xml><Content>2</Content></xml>")
	now := time.Unix(1714036504, 0)
	for name, test := range map[string]struct {
		freshness time.Duration
		later     []time.Duration
	}{
		"fresh":       {5 * time.Minute, []time.Duration{0, 5 * time.Second, 5 * time.Minute}},
		"not checked": {0, []time.Duration{0, time.Hour, 23 * time.Hour, 24 * time.Hour}},
	} {
		clock := now
		verifier := newVerifier(t, Config{Token: text(v.Token), Freshness: test.freshness, Now: func() time.Time { return clock }})
		if _, _, err := verifier.Open(q, first); err != nil {
			t.Fatal(err)
		}
		for _, later := range test.later {
			clock = now.Add(later)
			if message, _, err := verifier.Open(q, first); err != nil || string(message) != string(first) {
				t.Errorf("%s: the same again, %s later: %q, %v", name, later, message, err)
			}
			message, _, err := verifier.Open(q, second)
			wantRefusal(t, err, ReasonReused, "")
			if message != nil {
				t.Errorf("%s: a refused push returns %q", name, message)
			}
		}
	}
}

// TestBodiesBounded: the memory is as long as it has to be and not endless.
func TestBodiesBounded(t *testing.T) {
	var b bodies
	now := time.Unix(1714036504, 0)
	for i := range 3 * maxBodies {
		signature := fmt.Sprint(i)
		if !b.same(now, time.Hour, signature, []byte("1")) || b.same(now, time.Hour, signature, []byte("2")) {
			t.Fatalf("signature %d: the first body is refused, or another taken", i)
		}
	}
	if n := len(b.young) + len(b.old); n > 2*maxBodies {
		t.Errorf("%d signatures are remembered, want at most %d", n, 2*maxBodies)
	}
	b.same(now, time.Hour, "a", []byte("1"))
	for _, later := range []time.Duration{30 * time.Minute, time.Hour} {
		if b.same(now.Add(later), time.Hour, "a", []byte("2")) {
			t.Errorf("forgotten after %s", later)
		}
	}
	b.same(now.Add(3*time.Hour), time.Hour, "b", nil)
	b.same(now.Add(5*time.Hour), time.Hour, "c", nil)
	if n := len(b.young) + len(b.old); n != 2 {
		t.Errorf("%d signatures are remembered after hours, want 2", n)
	}
}
