package callback

import (
	"strings"
	"testing"
)

func TestSignatureVectors(t *testing.T) {
	encrypted, plain := vectors(t)
	for _, v := range plain {
		if got := Signature(v.Token, v.Timestamp, v.Nonce); got != v.Signature {
			t.Errorf("%s: Signature = %s, want %s", v.ID, got, v.Signature)
		}
		if !CheckSignature(v.Token, v.Timestamp, v.Nonce, v.Signature) {
			t.Errorf("%s: CheckSignature = false", v.ID)
		}
	}
	for _, v := range encrypted {
		if got := Signature(v.Token, v.Timestamp, v.Nonce, v.Encrypt); got != v.MsgSignature {
			t.Errorf("%s: Signature = %s, want %s", v.ID, got, v.MsgSignature)
		}
		if !CheckMsgSignature(v.Token, v.Timestamp, v.Nonce, v.Encrypt, v.MsgSignature) {
			t.Errorf("%s: CheckMsgSignature = false", v.ID)
		}
		if v.Signature != "" && !CheckSignature(v.Token, v.Timestamp, v.Nonce, v.Signature) {
			t.Errorf("%s: CheckSignature = false", v.ID)
		}
	}
}

// TestSignatureOrder has every order of the three values and lengths around
// those at which the hash or our buffers begin a new block.
func TestSignatureOrder(t *testing.T) {
	parts := []string{"A", "B", "C"}
	for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		for _, n := range []int{1, 18, 19, 21, 22, 41, 42, 43, 44, 341, 342, 1024, 5000} {
			a, b, c := strings.Repeat(parts[order[0]], n), strings.Repeat(parts[order[1]], n), strings.Repeat(parts[order[2]], n)
			if !CheckSignature(a, b, c, Signature(c, b, a)) {
				t.Errorf("CheckSignature of %d bytes in the order %v = false", 3*n, order)
			}
			if !CheckMsgSignature(a, b, c, "B2", Signature(c, "B2", b, a)) {
				t.Errorf("CheckMsgSignature of %d bytes in the order %v = false", 3*n, order)
			}
		}
	}
}

func TestSignatureRefused(t *testing.T) {
	const token, timestamp, nonce, encrypt = "AAAAA", "1714036504", "1514711492", "+qdx1OKC"
	signature := Signature(token, timestamp, nonce)
	msgSignature := Signature(token, timestamp, nonce, encrypt)
	for name, wrong := range map[string]func(string) string{
		"upper case": strings.ToUpper,
		"empty":      func(string) string { return "" },
		"cut":        func(s string) string { return s[:len(s)-1] },
		"longer":     func(s string) string { return s + "0" },
		"space":      func(s string) string { return s + " " },
		"first":      func(s string) string { return flip(s, 0, 0) },
		"last":       func(s string) string { return flip(s, len(s)-1, 0) },
	} {
		if CheckSignature(token, timestamp, nonce, wrong(signature)) {
			t.Errorf("%s: CheckSignature = true", name)
		}
		if CheckMsgSignature(token, timestamp, nonce, encrypt, wrong(msgSignature)) {
			t.Errorf("%s: CheckMsgSignature = true", name)
		}
	}
	if CheckSignature("", timestamp, nonce, Signature("", timestamp, nonce)) {
		t.Error("CheckSignature with an empty token = true")
	}
	if CheckMsgSignature("", timestamp, nonce, encrypt, Signature("", timestamp, nonce, encrypt)) {
		t.Error("CheckMsgSignature with an empty token = true")
	}
}

// flip returns s with one bit of one byte changed.
func flip(s string, i int, bit uint) string {
	b := []byte(s)
	b[i] ^= 1 << bit
	return string(b)
}
