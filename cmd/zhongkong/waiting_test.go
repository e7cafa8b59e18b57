package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
)

// TestServeWaits: a gateway whose store accepts connections and is silent says so.
func TestServeWaits(t *testing.T) {
	t.Parallel()
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	logged := new(logtest.Log)
	s := newService(false)
	s.log, s.settings.Store = logged.Logger(slog.LevelWarn), "redis://"+silent.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, newTerminal(nil, io.Discard, io.Discard, os.LookupEnv), func(string) {}) }()
	patience.Until(t, "a word about the store", func() bool { return strings.Contains(logged.String(), "waiting for the store") })
	cancel()
	if err := <-ended; err == nil {
		t.Error("it served")
	}
}

// TestWaiting: nothing is said within a second; then what is waited for, and each cause once.
func TestWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := new(logtest.Log) // whose lock the race detector knows
		says := func(want string) {
			t.Helper()
			synctest.Wait()
			if out.String() != want {
				t.Errorf("got  %q\nwant %q", out.String(), want)
			}
		}
		w := waitFor(newTerminal(nil, out, out, func(string) (string, bool) { return "", false }), "the store")
		log := slog.New(w).With("account", "wx1")
		log.Info("nothing of interest")
		time.Sleep(quiet - time.Millisecond)
		says("")
		time.Sleep(time.Millisecond)
		first := "zhongkong: waiting for the store, which has not answered yet\n"
		says(first)
		refused := errors.New("zhongkong: it refuses connections: start it")
		log.Warn("the store cannot be opened", "cause", refused)
		log.Warn("the store cannot be opened", "cause", refused)
		log.Warn("a token was fetched without it")
		first += "zhongkong: waiting for the store: it refuses connections: start it\nzhongkong: a token was fetched without it\n"
		says(first)
		w.end()

		log.Warn("one more")
		time.Sleep(time.Minute)
		says(first)

		out = new(logtest.Log)
		w = waitFor(newTerminal(nil, out, out, func(string) (string, bool) { return "", false }), "the store") // that answers soon enough
		slog.New(w).Warn("the store cannot be opened", "cause", refused)
		w.end()
		time.Sleep(time.Minute)
		says("")

		w = waitFor(newTerminal(nil, out, out, func(string) (string, bool) { return "", false }), "the store") // whose cause is known when a second has passed
		slog.New(w).Warn("the store cannot be opened", "cause", refused)
		time.Sleep(quiet)
		says("zhongkong: waiting for the store: it refuses connections: start it\n")
		w.end()
	})
}
