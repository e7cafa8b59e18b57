package testserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

// Network returns a transport for which the world is these hosts, each with a TLS
// server of its own on loopback that answers by its handler. A host with a nil handler
// refuses connections; all others have no address. So a test speaks of real hosts and
// never reaches them.
func Network(tb testing.TB, hosts map[string]http.Handler) *http.Transport {
	tb.Helper()
	roots, where := x509.NewCertPool(), map[string]string{}
	for host, handler := range hosts {
		if handler == nil {
			where[host+":443"] = Refusing(tb)
			continue
		}
		certificate, key := Certificate(tb, host)
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			tb.Fatal(err)
		}
		text, err := os.ReadFile(certificate)
		if err != nil || !roots.AppendCertsFromPEM(text) {
			tb.Fatal(err, "no certificate")
		}
		server := httptest.NewUnstartedServer(handler)
		server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		tb.Cleanup(func() {
			server.CloseClientConnections()
			server.Close()
		})
		where[host+":443"] = server.Listener.Addr().String()
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			to, known := where[address]
			if !known {
				host, _, _ := net.SplitHostPort(address)
				return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
			}
			return new(net.Dialer).DialContext(ctx, network, to)
		},
	}
	tb.Cleanup(transport.CloseIdleConnections)
	return transport
}
