package gateway

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/zhongkong-go/zhongkong/gateway/clients"
)

// names are what people call the accounts, subscribers and clients of one moment. They change
// without them. The maps never change.
type names struct {
	now     atomic.Pointer[map[string]string] // of accounts by appid, of subscribers by appid/name
	clients atomic.Pointer[map[string]string] // by name
}

// of returns the name of an account, or the title of a subscriber; "" when it has none.
func (n *names) of(id string) string { return calledIn(&n.now, id) }

// title returns a client's title, "" when it has none.
func (n *names) title(client string) string { return calledIn(&n.clients, client) }

func calledIn(names *atomic.Pointer[map[string]string], id string) string {
	if all := names.Load(); all != nil {
		return (*all)[id]
	}
	return ""
}

// meet takes over the titles of clients.
func (n *names) meet(list []*clients.Live) {
	titles := make(map[string]string)
	for _, c := range list {
		if c.Title != "" {
			titles[c.Name] = c.Title
		}
	}
	n.clients.Store(&titles)
}

// namingLog puts the name of an account in front of its appid in every line that has one, and
// the title of a client or a subscriber in front of its name.
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

// named returns the attribute, behind what people call the thing that it is about.
func (h namingLog) named(a slog.Attr) []slog.Attr {
	var called []slog.Attr
	add := func(key, name string) {
		if name != "" {
			called = append(called, slog.String(key, name))
		}
	}
	switch a.Key {
	case "appid":
		add("account", h.names.of(a.Value.String()))
	case "subscriber": // which is appid/name
		id := a.Value.String()
		appID, _, _ := strings.Cut(id, "/")
		add("account", h.names.of(appID))
		add("title", h.names.of(id))
	case "client":
		add("title", h.names.title(a.Value.String()))
	}
	return append(called, a)
}
