//go:build unix

package main

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/acme"
)

// TestCertificatePauses: after a failure handshakes get the same error without asking the
// authority, which is asked again after 5 minutes, then 10, up to an hour; other names are
// never asked for, and the authority's own visit always is answered.
func TestCertificatePauses(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	asked := 0
	var out output
	c := &certificates{
		domain: "wx.example.com", log: slog.New(slog.NewTextHandler(&out, nil)), now: func() time.Time { return now },
		from: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			asked++
			if hello.ServerName != "wx.example.com" {
				t.Errorf("asked for %q", hello.ServerName)
			}
			return nil, errors.New("refused")
		},
	}
	for _, pause := range []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, time.Hour} {
		for range 3 {
			if _, err := c.get(new(tls.ClientHelloInfo)); err == nil {
				t.Fatal("there is a certificate")
			}
		}
		now = now.Add(pause - time.Second)
		_, _ = c.get(new(tls.ClientHelloInfo))
		now = now.Add(time.Second)
	}
	if asked != 6 || strings.Count(out.String(), "serve_no_certificate") != 6 {
		t.Errorf("asked %d times, want 6:\n%s", asked, out.String())
	}
	if _, err := c.get(&tls.ClientHelloInfo{ServerName: "other.example"}); err == nil || asked != 6 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	_, _ = c.get(new(tls.ClientHelloInfo)) // fails, and begins a pause
	_, _ = c.get(&tls.ClientHelloInfo{ServerName: "wx.example.com", SupportedProtos: []string{acme.ALPNProto}})
	if asked != 8 {
		t.Errorf("the authority was not answered: %d", asked)
	}
	c.from = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return new(tls.Certificate), nil }
	now = now.Add(time.Hour)
	if _, err := c.get(new(tls.ClientHelloInfo)); err != nil || c.failed != nil || c.pause != 0 {
		t.Errorf("after a success: %v %+v", err, c)
	}
}
