package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	a := authority{}
	cert, key := a.sign(t, name, true)
	parsed, err := x509.ParseCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	return authority{parsed, key}
}

// sign returns a certificate; the zero authority makes one that signs itself.
func (a authority) sign(t *testing.T, name string, ca bool) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (a authority) pair(t *testing.T, name string) tls.Certificate {
	t.Helper()
	cert, key := a.sign(t, name, false)
	return tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: key}
}

func writePEM(t *testing.T, path, kind string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRemovedAuthority: when client_ca is another one, a program with a certificate of the
// one before comes in neither by resuming its session nor over a connection that it has
// kept, and one with a certificate of the new one does.
func TestRemovedAuthority(t *testing.T) {
	folder := t.TempDir()
	before, after := newAuthority(t, "before"), newAuthority(t, "after")
	files := TLS{Cert: filepath.Join(folder, "cert"), Key: filepath.Join(folder, "key"), ClientCA: filepath.Join(folder, "ca")}
	own, key := newAuthority(t, "server").sign(t, "server", true)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, files.Cert, "CERTIFICATE", own)
	writePEM(t, files.Key, "EC PRIVATE KEY", der)
	writePEM(t, files.ClientCA, "CERTIFICATE", before.cert.Raw)
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			writePEM(t, files.ClientCA, "CERTIFICATE", before.cert.Raw)
			plain, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l, config, err := files.listen(plain, slog.New(slog.DiscardHandler), 10*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{
				ReadHeaderTimeout: time.Minute, TLSConfig: config, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
				Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
			}
			go func() { _ = server.ServeTLS(l, "", "") }()
			defer func() { _ = server.Close() }()
			program := func(cert tls.Certificate) (kept, resumed *http.Client) {
				c := &tls.Config{
					InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}, MinVersion: version, MaxVersion: version,
					ClientSessionCache: tls.NewLRUClientSessionCache(0),
				}
				return &http.Client{Transport: &http.Transport{TLSClientConfig: c.Clone()}},
					&http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}}
			}
			call := func(c *http.Client) error {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+plain.Addr().String(), http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := c.Do(r)
				if err == nil {
					_ = resp.Body.Close()
				}
				return err
			}
			kept, resumed := program(before.pair(t, "program"))
			next, _ := program(after.pair(t, "next"))
			for _, c := range []*http.Client{kept, resumed, resumed} {
				if err := call(c); err != nil {
					t.Fatal(err)
				}
			}
			if call(next) == nil {
				t.Fatal("a program of another authority is let in")
			}
			conn, err := tls.Dial("tcp", plain.Addr().String(), kept.Transport.(*http.Transport).TLSClientConfig)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			var b [512]byte
			if _, err := conn.Read(b[:]); err != nil {
				t.Fatal(err)
			}
			writePEM(t, files.ClientCA, "CERTIFICATE", after.cert.Raw)
			_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := conn.Read(b[:]); err == nil || os.IsTimeout(err) {
				t.Errorf("a connection from before stays: %v", err)
			}
			patience.Until(t, "the new authority", func() bool { return call(next) == nil })
			if call(resumed) == nil {
				t.Error("a session from before is resumed")
			}
			if call(kept) == nil {
				t.Error("a program of the removed authority is let in")
			}
		})
	}
}

// ends is a connection with addresses.
type ends struct {
	net.Conn

	remote, local net.Addr
}

func (e ends) RemoteAddr() net.Addr { return e.remote }
func (e ends) LocalAddr() net.Addr  { return e.local }
func (ends) Close() error           { return nil }

type endsListener struct {
	net.Listener

	next []ends
}

func (l *endsListener) Accept() (net.Conn, error) {
	c := l.next[0]
	l.next = l.next[1:]
	return c, nil
}

// TestOnePortTwoAddresses: one port of a program may reach two addresses of the gateway at
// a time; each connection is known by itself.
func TestOnePortTwoAddresses(t *testing.T) {
	port := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5000}
	f := &tlsFiles{open: map[string]*peer{}}
	p := &peers{files: f, Listener: &endsListener{next: []ends{
		{remote: port, local: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 8), Port: 443}},
		{remote: port, local: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 443}},
	}}}
	first, _ := p.Accept()
	second, _ := p.Accept()
	if len(f.open) != 2 {
		t.Fatalf("%d connections are known, want 2", len(f.open))
	}
	_ = first.Close()
	if f.open[peerName(second)] != second {
		t.Error("the second one is not known any more")
	}
}
