package simulator

import (
	"encoding/base64"
	"slices"

	"github.com/zhongkong-go/zhongkong/internal/named"
)

// Attack is a way to forge a push. An app has to refuse it, with any status but
// 200, and the follower must not notice.
type Attack string

// The attacks.
const (
	// WrongSignature signs with another Token.
	WrongSignature Attack = "signature"

	// Replay delivers a genuine push and then the same bytes again. WeChat itself
	// may do that, so the app must answer well both times and handle it once.
	Replay Attack = "replay"

	// Stale is a genuine push of an hour ago, which somebody recorded. An app that
	// does not look at the timestamp takes it.
	Stale Attack = "stale"

	// Tampered changes one byte of the ciphertext and leaves the signatures as they
	// were. An app that checks signature but not msg_signature takes it.
	Tampered Attack = "tampered"

	// ForeignAppID is encrypted and signed well, but for another account.
	ForeignAppID Attack = "appid"

	// PlainText is in plain text, with a right signature, for an app in safe mode.
	// An app that lets the request decide whether it is encrypted takes it.
	PlainText Attack = "plaintext"
)

// Attacks returns all attacks, for a test that an app refuses each of them.
func Attacks() []Attack {
	return []Attack{WrongSignature, Replay, Stale, Tampered, ForeignAppID, PlainText}
}

func (a Attack) check(m Mode) error {
	switch {
	case a == "":
		return nil
	case !slices.Contains(Attacks(), a):
		return named.Errorf("simulator", "there is no attack %q: %v exist", a, Attacks())
	case a == PlainText && m != Safe:
		return named.Errorf("simulator", "the attack plaintext is for an app in safe mode")
	case (a == Tampered || a == ForeignAppID) && m == Plain:
		return named.Errorf("simulator", "the attack %s needs encryption: in plain mode no signature covers the body, "+
			"so that nothing protects it; use safe mode", a)
	}
	return nil
}

// tamper flips a bit in the first block, which flips the same one in the second,
// behind the message's length, and scrambles nothing but random bytes.
func tamper(encrypt string) string {
	data, err := base64.StdEncoding.DecodeString(encrypt)
	if err != nil || len(data) < 32 {
		return encrypt
	}
	data[8] ^= 1
	return base64.StdEncoding.EncodeToString(data)
}
