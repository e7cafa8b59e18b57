package gateway

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
)

// names are what people call the accounts of one moment, by appid. They change without the
// accounts. The map never changes.
type names struct {
	now atomic.Pointer[map[string]string]
}

// of returns an account's name, "" when it has none.
func (n *names) of(appID string) string {
	if all := n.now.Load(); all != nil {
		return (*all)[appID]
	}
	return ""
}

// namingLog puts an account's name in front of its appid in every line that has one.
type namingLog struct {
	slog.Handler

	names *names
}

// Handle implements [slog.Handler].
func (h namingLog) Handle(ctx context.Context, r slog.Record) error {
	line := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		line.AddAttrs(h.named(a)...)
		return true
	})
	return h.Handler.Handle(ctx, line)
}

// WithAttrs implements [slog.Handler].
func (h namingLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	var all []slog.Attr
	for _, a := range attrs {
		all = append(all, h.named(a)...)
	}
	return namingLog{h.Handler.WithAttrs(all), h.names}
}

// WithGroup implements [slog.Handler].
func (h namingLog) WithGroup(name string) slog.Handler {
	return namingLog{h.Handler.WithGroup(name), h.names}
}

// named returns the attribute, behind the name of the account that it is about.
func (h namingLog) named(a slog.Attr) []slog.Attr {
	if a.Key != "appid" && a.Key != "subscriber" { // which is appid/name
		return []slog.Attr{a}
	}
	appID, _, _ := strings.Cut(a.Value.String(), "/")
	if name := h.names.of(appID); name != "" {
		return []slog.Attr{slog.String("account", name), a}
	}
	return []slog.Attr{a}
}
