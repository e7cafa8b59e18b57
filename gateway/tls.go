package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/named"
)

// tlsLook is how old what is known of the files may be.
const tlsLook = 5 * time.Second

// Check says what is wrong with the files.
func (t TLS) Check() error { return (&tlsFiles{TLS: t}).read() }

// Listen returns l, and a configuration for a server on it that reads the files again
// when they change, 5 s later at most. Files that cannot be used are an error here, and
// later a Warn: the ones from before go on. Connections of programs whose certificate a
// changed ClientCA does not cover are closed.
func (t TLS) Listen(l net.Listener, log *slog.Logger) (net.Listener, *tls.Config, error) {
	return t.listen(l, log, tlsLook)
}

func (t TLS) listen(l net.Listener, log *slog.Logger, every time.Duration) (net.Listener, *tls.Config, error) {
	f := &tlsFiles{TLS: t, log: log, every: every, open: map[string]*peer{}, done: make(chan struct{})}
	if err := f.read(); err != nil {
		return nil, nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: f.forClient}
	if t.ClientCA == "" {
		return l, config, nil
	}
	// A session that is resumed brings no certificate, and in one of an authority that was
	// removed nobody would look for it again.
	config.SessionTicketsDisabled = true
	go f.watch()
	return &peers{Listener: l, files: f}, config, nil
}

// peers is a listener that knows its connections.
type peers struct {
	net.Listener

	files *tlsFiles
	once  sync.Once
}

// Accept implements [net.Listener].
func (p *peers) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	own := &peer{Conn: c, files: p.files, name: peerName(c)}
	p.files.mu.Lock()
	defer p.files.mu.Unlock()
	p.files.open[own.name] = own
	return own, nil
}

// Close implements [net.Listener].
func (p *peers) Close() error {
	p.once.Do(func() { close(p.files.done) })
	return p.Listener.Close()
}

// peerName tells connections apart: one port of a program may reach several addresses of
// this machine.
func peerName(c net.Conn) string { return c.RemoteAddr().String() + " " + c.LocalAddr().String() }

// peer is a connection below TLS. Handshakes find it by its addresses.
type peer struct {
	net.Conn

	files *tlsFiles
	name  string
	chain []*x509.Certificate // what was verified, the program's own first; nil before
}

// Close implements [net.Conn].
func (p *peer) Close() error {
	p.files.mu.Lock()
	if p.files.open[p.name] == p {
		delete(p.files.open, p.name)
	}
	p.files.mu.Unlock()
	return p.Conn.Close()
}

// CloseWrite is what net/http ends an answer with when more of the request may come.
func (p *peer) CloseWrite() error {
	if c, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// covers reports whether one of the authorities stands for a program's certificate.
func covers(authorities *x509.CertPool, chain []*x509.Certificate) bool {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: authorities, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}

// tlsFiles are a TLS at work.
type tlsFiles struct {
	TLS

	log   *slog.Logger
	every time.Duration
	done  chan struct{} // closed with the listener

	mu     sync.Mutex // guards what follows
	config *tls.Config
	stamps [3]stamp
	looked time.Time
	open   map[string]*peer // where programs need a certificate, by peerName
}

// forClient returns the configuration of a handshake.
func (f *tlsFiles) forClient(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	now := f.current(time.Now())
	if f.ClientCA == "" {
		return now, nil
	}
	now = now.Clone()
	name, authorities := peerName(hello.Conn), now.ClientCAs
	now.VerifyConnection = func(state tls.ConnectionState) error {
		for { // the handshake has verified it by authorities; the files may have changed meanwhile
			next := f.join(name, authorities, state.PeerCertificates)
			if next == authorities {
				return nil
			}
			if authorities = next; !covers(authorities, state.PeerCertificates) {
				return named.Errorf("gateway", "no authority of tls.client_ca stands for this certificate any more")
			}
		}
	}
	return now, nil
}

// join puts a connection, whose chain was verified by authorities, among those that are
// looked at when the files change. If they have changed already, it returns those of now.
func (f *tlsFiles) join(name string, authorities *x509.CertPool, chain []*x509.Certificate) *x509.CertPool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.open[name]; p != nil && f.config.ClientCAs == authorities {
		p.chain = chain
	}
	return f.config.ClientCAs
}

// watch looks at the files also while nobody comes: connections from before are to end.
func (f *tlsFiles) watch() {
	ticker := time.NewTicker(f.every)
	defer ticker.Stop()
	for {
		select {
		case <-f.done:
			return
		case <-ticker.C:
			f.current(time.Now())
		}
	}
}

// turnOut closes the connections that the authorities of now do not cover. Certificates
// are verified without the lock, under which handshakes would wait.
func (f *tlsFiles) turnOut() {
	f.mu.Lock()
	authorities := f.config.ClientCAs
	chains := make(map[*peer][]*x509.Certificate, len(f.open))
	for _, p := range f.open {
		if p.chain != nil {
			chains[p] = p.chain
		}
	}
	f.mu.Unlock()
	closed := 0
	for p, chain := range chains {
		if !covers(authorities, chain) {
			_ = p.Close()
			closed++
		}
	}
	if closed > 0 {
		f.log.Info("connections were closed whose certificate tls.client_ca does not cover any more", "connections", closed)
	}
}

// stamp tells whether a file is the one that was read.
type stamp struct {
	at   time.Time
	size int64
}

func (f *tlsFiles) current(now time.Time) *tls.Config {
	config, changed := f.look(now)
	if changed {
		f.turnOut()
	}
	return config
}

// look reads the files again if they have changed.
func (f *tlsFiles) look(now time.Time) (config *tls.Config, changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.looked) >= f.every && f.stamp() != f.stamps {
		if err := f.read(); err != nil {
			f.log.Warn("the changed TLS files cannot be used; those from before go on", "log_code", "gateway_tls_not_taken", "error", err)
			f.stamps = f.stamp() // said once
		} else {
			f.log.Info("the TLS files were read again")
			changed = true
		}
	}
	if now.Sub(f.looked) >= f.every {
		f.looked = now
	}
	return f.config, changed
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
		return named.Errorf("gateway", "tls.cert %s and tls.key %s: %w", f.Cert, f.Key, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}
	if f.ClientCA != "" {
		content, err := readLimited(f.ClientCA, 1<<20)
		if err != nil {
			return named.Errorf("gateway", "tls.client_ca: %w", err)
		}
		config.SessionTicketsDisabled = true
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM(content) {
			return named.Errorf("gateway", "tls.client_ca %s holds no certificate in PEM", f.ClientCA)
		}
	}
	f.config, f.stamps = config, stamps
	return nil
}
