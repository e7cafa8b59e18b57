package custody

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Token is a credential that was live when it was handed out. Like [Secret] it
// does not print; Value is the one way to the string. The zero Token has no
// value. Tokens are immutable, small and may be copied.
type Token struct {
	held *held
}

// Value returns the credential. Use it at once: a minute later Keeper.Token may
// have a better one.
func (t Token) Value() string {
	if t.held == nil {
		return ""
	}
	return t.held.value.Reveal()
}

// Left returns how long the token will still be handed out; the issuer's own
// end is up to 20 s later. It is 0 when that time has passed.
func (t Token) Left() time.Duration {
	if t.held == nil {
		return 0
	}
	return max(0, t.held.dead-time.Since(t.held.base))
}

// Fence returns the number of the renewal that brought the token. It grows with
// each one and, being no secret, names the token in logs.
func (t Token) Fence() int64 {
	if t.held == nil {
		return 0
	}
	return t.held.fence
}

// Origin returns how the token came into this process.
func (t Token) Origin() Origin {
	switch {
	case t.held == nil:
		return ""
	case t.held.fetched:
		return OriginFetched
	default:
		return OriginStore
	}
}

// String returns "[secret]", or "" for the zero Token.
func (t Token) String() string {
	if t.held == nil {
		return ""
	}
	return redacted
}

// Format implements [fmt.Formatter] for every verb and flag.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue implements [slog.LogValuer].
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText implements [encoding.TextMarshaler].
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
