package custody

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// redacted stands wherever a secret would have been printed.
const redacted = "[secret]"

// Secret is a string that does not print: not with any verb of fmt, not as a
// field of another struct (exported or not), not in slog, not in JSON. The zero
// value is the empty secret.
//
// The string sits behind a func because fmt cannot call methods of unexported
// fields: under %+v it would print a string type there, whatever its methods
// say, while of a func it prints an address. It also makes Secret incomparable
// with ==, which would not run in constant time: use [Secret.Equal].
type Secret struct {
	reveal func() string
}

// NewSecret wraps value.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{reveal: func() string { return value }}
}

// Reveal returns the string itself. Each call is a place to think about where
// the string goes.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.reveal == nil }

// Equal compares in a time that depends on the lengths alone.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// Format implements [fmt.Formatter] for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String returns "[secret]", or "" for the empty secret, so that a dump of a
// configuration still shows whether one was set.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements [encoding.TextMarshaler] and so covers JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]: configuration files may
// hold secrets, though environment variables or files of their own are better.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
