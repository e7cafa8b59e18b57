package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/zhongkong-go/zhongkong/gateway"
)

// The pauses between attempts at a certificate. Let's Encrypt allows five failures an hour
// for a name.
const (
	firstPause = 5 * time.Minute
	mostPause  = time.Hour
)

// certificates gets the certificate of tls.domain, keeps it in tls.folder and renews it. The
// authority asks for a proof over TLS at port 443 (TLS-ALPN-01), so no second listener is
// needed.
type certificates struct {
	domain string
	from   func(*tls.ClientHelloInfo) (*tls.Certificate, error) // autocert's
	log    *slog.Logger
	now    func() time.Time

	mu     sync.Mutex // guards what follows
	pause  time.Duration
	until  time.Time // before it, the authority is not asked again
	failed error
	ends   time.Time // of the certificate in use
}

// newCertificates looks after the certificate of a TLS whose Domain is set.
func newCertificates(t gateway.TLS, log *slog.Logger) *certificates {
	directory := t.Authority
	if directory == "" {
		directory = autocert.DefaultACMEDirectory
	}
	manager := &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(t.Folder), HostPolicy: autocert.HostWhitelist(t.Domain), Email: t.Email,
		Client: &acme.Client{DirectoryURL: directory, UserAgent: "zhongkong"},
	}
	return &certificates{domain: t.Domain, from: manager.GetCertificate, log: log, now: time.Now}
}

// config is that of a server.
func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"h2", "http/1.1", acme.ALPNProto},
	}
}

// get returns the certificate for a handshake, also for one that gives no name. After a
// failure the authority is left alone for a while: handshakes would use up its limits.
func (c *certificates) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	asked := *hello
	if asked.ServerName == "" {
		asked.ServerName = c.domain
	}
	if asked.ServerName != c.domain {
		return nil, fmt.Errorf("the certificate is for %s and no other name", c.domain)
	}
	// One kind of certificate: autocert would order an RSA one for a client that does not list
	// ECDSA, and a failure of that order would refuse everybody else.
	asked.SignatureSchemes = []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}
	asked.SupportedCurves = []tls.CurveID{tls.CurveP256}
	asked.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	if len(asked.SupportedProtos) == 1 && asked.SupportedProtos[0] == acme.ALPNProto { // the authority's own visit: nothing else is offered
		return c.from(&asked)
	}
	c.mu.Lock()
	failed, until := c.failed, c.until
	c.mu.Unlock()
	if failed != nil && c.now().Before(until) {
		return nil, failed
	}
	got, err := c.from(&asked)
	c.note(got, err)
	return got, err
}

// note remembers what came of an attempt.
func (c *certificates) note(got *tls.Certificate, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.failed, c.pause = nil, 0
		leaf := got.Leaf
		if leaf == nil && len(got.Certificate) > 0 {
			leaf, _ = x509.ParseCertificate(got.Certificate[0])
		}
		if leaf != nil && !leaf.NotAfter.Equal(c.ends) {
			c.ends = leaf.NotAfter
			c.log.Info("the certificate is in use", "domain", c.domain, "issuer", leaf.Issuer.CommonName, "ends", leaf.NotAfter)
		}
	case c.now().Before(c.until): // another handshake has noted the same failure
	default:
		c.pause = min(max(firstPause, 2*c.pause), mostPause)
		c.failed, c.until = err, c.now().Add(c.pause)
		c.log.Warn("cannot get a certificate for tls.domain: port 443 of that name must reach this gateway from the internet", "log_code", "serve_no_certificate",
			"domain", c.domain, "error", err, "again_in", c.pause)
	}
}

// fetch gets the certificate before anybody needs it, and again after failures, until ctx ends.
func (c *certificates) fetch(ctx context.Context) {
	hello := &tls.ClientHelloInfo{ServerName: c.domain}
	for {
		got := make(chan error, 1) // an order takes up to 5 minutes, and autocert knows no ctx
		go func() {
			_, err := c.get(hello)
			got <- err
		}()
		select {
		case <-ctx.Done():
			return
		case err := <-got:
			if err == nil {
				return
			}
		}
		c.mu.Lock()
		wait := c.until.Sub(c.now())
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(wait, time.Second)):
		}
	}
}
