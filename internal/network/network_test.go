package network_test

import (
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/network"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

func none(string) string { return "" }

// get asks target by a transport like those of clients, through a proxy where one is given.
func get(t *testing.T, target, proxy string) error {
	t.Helper()
	transport := network.New(network.Steps{Dial: 5 * time.Second, TLS: 5 * time.Second})
	transport.Proxy = nil
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil {
			t.Fatal(err)
		}
		transport.Proxy = http.ProxyURL(u)
	}
	t.Cleanup(transport.CloseIdleConnections)
	resp, err := (&http.Client{Transport: transport}).Get(target)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	return nil
}

// quietTLS is a TLS server whose authority nobody knows.
func quietTLS(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// TestRemedies: each fault of a network that a person can remove has its sentence.
func TestRemedies(t *testing.T) {
	proxy := func(status int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(server.Close)
		return server.URL
	}
	all := func(name string) string {
		return map[string]string{"ALL_PROXY": "socks5://made-up:made-up@127.0.0.1:1"}[name]
	}
	unknown, refusing := quietTLS(t), "http://"+testserver.Refusing(t)
	for name, row := range map[string]struct {
		err  error
		env  func(string) string
		says []string
	}{
		"a proxy answers 403": {get(t, "https://api.weixin.qq.com/", proxy(403)), none, []string{"allow CONNECT to api.weixin.qq.com:443", "NO_PROXY=api.weixin.qq.com"}},
		"a proxy answers 407": {get(t, "https://api.weixin.qq.com/", proxy(407)), none, []string{"wants a password", "http://user:password@127.0.0.1:"}},
		"no proxy runs":       {get(t, "https://api.weixin.qq.com/", refusing), none, []string{"proxy of HTTPS_PROXY cannot be reached"}},
		"a proxy inspects":    {get(t, unknown.URL, ""), none, []string{"does not know the authority (\"Acme Co\")", "inspects TLS", "SSL_CERT_FILE", "ca-certificates"}},
		"another's name":      {x509.HostnameError{Certificate: unknown.Certificate(), Host: "x"}, none, []string{"Another host's certificate"}},
		"the clock":           {x509.CertificateInvalidError{Reason: x509.Expired}, none, []string{"set the clock first"}},
		"ALL_PROXY alone":     {get(t, refusing, ""), all, []string{"ALL_PROXY is set and HTTPS_PROXY is not"}},
		"a refused dial":      {get(t, refusing, ""), none, nil},
		"something else":      {io.ErrUnexpectedEOF, all, nil},
	} {
		text := network.Remedy(row.err, "api.weixin.qq.com:443", row.env)
		if row.err == nil || (text == "") != (row.says == nil) || strings.Contains(text, "made-up") || strings.HasSuffix(text, ".") {
			t.Errorf("%s: %q for %v", name, text, row.err)
		}
		for _, want := range row.says {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q, want %q; of %v", name, text, want, row.err)
			}
		}
	}
	var refused *network.RefusedError
	if err := get(t, "https://api.weixin.qq.com/", proxy(403)); !errors.As(err, &refused) || refused.Status != 403 || !strings.Contains(err.Error(), "answers HTTP 403 to CONNECT api.weixin.qq.com:443") {
		t.Errorf("%v", err)
	}
}

// TestToGateway: a gateway whose certificate an authority of one's own has signed.
func TestToGateway(t *testing.T) {
	certificate, key := testserver.Certificate(t, "127.0.0.1")
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Config.ServeTLS(listener, certificate, key) }()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(func() { _ = server.Config.Close() })

	for _, row := range []struct {
		ca    string
		works bool
	}{{"", false}, {certificate, true}} {
		transport, err := network.ToGateway(row.ca)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(transport.CloseIdleConnections)
		resp, err := (&http.Client{Transport: transport}).Get("https://" + listener.Addr().String())
		if err == nil {
			_ = resp.Body.Close()
		}
		if (err == nil) != row.works {
			t.Errorf("with the authority %q: %v", row.ca, err)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, says := range map[string]string{
		empty: "holds no certificate in PEM", empty + ".missing": "cannot be read", "~/ca.pem": "begins with ~",
	} {
		if _, err := network.ToGateway(file); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", file, err, says)
		}
	}
}
