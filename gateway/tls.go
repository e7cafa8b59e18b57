package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// tlsLook is how old what is known of the files may be.
const tlsLook = 5 * time.Second

// Config returns a configuration for a server that reads the files again when they
// change, at the next handshake 5 s later at most. Files that cannot be used are an
// error here, and later a Warn: the ones from before go on.
func (t TLS) Config(log *slog.Logger) (*tls.Config, error) {
	f := &tlsFiles{TLS: t, log: log}
	if err := f.read(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.current(time.Now()), nil },
	}, nil
}

// tlsFiles are a TLS at work.
type tlsFiles struct {
	TLS

	log *slog.Logger

	mu     sync.Mutex // guards what follows
	config *tls.Config
	stamps [3]stamp
	looked time.Time
}

// stamp tells whether a file is the one that was read.
type stamp struct {
	at   time.Time
	size int64
}

func (f *tlsFiles) current(now time.Time) *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.looked) >= tlsLook && f.stamp() != f.stamps {
		if err := f.read(); err != nil {
			f.log.Warn("the changed TLS files cannot be used; those from before go on", "log_code", "gateway_tls_not_taken", "error", err)
			f.stamps = f.stamp() // said once
		} else {
			f.log.Info("the TLS files were read again")
		}
	}
	if now.Sub(f.looked) >= tlsLook {
		f.looked = now
	}
	return f.config
}

func (f *tlsFiles) stamp() (s [3]stamp) {
	for i, path := range []string{f.Cert, f.Key, f.ClientCA} {
		if info, err := os.Stat(path); path != "" && err == nil {
			s[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return s
}

// read reads the files. The caller holds mu, or is alone.
func (f *tlsFiles) read() error {
	stamps := f.stamp()
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return fmt.Errorf("gateway: tls.cert %s and tls.key %s: %w", f.Cert, f.Key, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}
	if f.ClientCA != "" {
		content, err := readLimited(f.ClientCA, 1<<20)
		if err != nil {
			return fmt.Errorf("gateway: tls.client_ca: %w", err)
		}
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM(content) {
			return errors.New("gateway: tls.client_ca " + f.ClientCA + " holds no certificate in PEM")
		}
	}
	f.config, f.stamps = config, stamps
	return nil
}
