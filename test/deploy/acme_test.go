package deploy_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"

	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

const domain = "wx.example.com"

// authority starts Pebble, which checks port tlsPort of every name on this machine. It
// returns its directory, a file with the certificate of that and the root of what it issues.
func authority(t *testing.T, tlsPort string) (directory, file string, root *x509.Certificate) {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	quiet := log.New(io.Discard, "", 0)
	dns := testserver.FreeAddr(t)
	names, err := challtestsrv.New(challtestsrv.Config{Log: quiet, DNSAddrs: []string{dns}})
	if err != nil {
		t.Fatal(err)
	}
	names.SetDefaultDNSIPv4("127.0.0.1")
	names.SetDefaultDNSIPv6("")
	go names.Run()
	t.Cleanup(names.Shutdown)
	port, err := strconv.Atoi(tlsPort)
	if err != nil {
		t.Fatal(err)
	}
	store := db.NewMemoryStore()
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default"}})
	front := wfe.New(quiet, store, va.New(quiet, 1, port, true, dns, store), issuer, []string{"pebble.letsencrypt.org"}, true, false, 1, 1)
	server := httptest.NewTLSServer(front.Handler())
	t.Cleanup(server.Close)
	file = filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if root, err = x509.ParseCertificate(issuer.GetRootCert(0).DER); err != nil {
		t.Fatal(err)
	}
	return server.URL + wfe.DirectoryPath, file, root
}

// gatewayAt starts zhongkong serve, and stop ends it.
func gatewayAt(t *testing.T, program, config, trust string) (out *logtest.Log, stop func()) {
	t.Helper()
	cmd := exec.Command(program, "serve", "--config", config)
	cmd.Dir = filepath.Dir(config)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "SSL_CERT_FILE=" + trust, "ZHONGKONG_DRAIN_GRACE=0s",
		"ZHONGKONG_SEAL_KEY=c2VhbGluZy1rZXktb2YtdGhlLXRlc3RzLTMyLWJ5dGU=",
	}
	return testserver.Run(t, cmd)
}

// TestACME: zhongkong serve with tls.domain gets a certificate from Pebble over its own port,
// serves with it, and after a restart has it without asking again. Where the port leads
// elsewhere the log says so.
func TestACME(t *testing.T) {
	folder := t.TempDir()
	program := filepath.Join(folder, "zhongkong")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/zhongkong")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	at := testserver.FreeAddr(t)
	_, port, _ := net.SplitHostPort(at)
	directory, trust, issued := authority(t, port)
	config := filepath.Join(folder, "zhongkong.yaml")
	write := func(listen, certificates string) {
		text := fmt.Sprintf("listen: %s\nstore: sqlite:%s/z.db\ntls: {domain: %s, authority: %q, folder: %q}\n", listen, folder, domain, directory, certificates)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(at, filepath.Join(folder, "certificates"))
	out, stop := gatewayAt(t, program, config, trust)
	defer stop()
	first := served(t, at, issued, out)
	if !strings.Contains(out.String(), "the certificate is in use") || strings.Contains(out.String(), "level=WARN") {
		t.Errorf("the log says\n%s", out)
	}
	stop()
	out, stop = gatewayAt(t, program, config, trust)
	defer stop()
	if again := served(t, at, issued, out); again != first {
		t.Errorf("after a restart the certificate is %s, before %s", again, first)
	}
	stop()

	write(testserver.FreeAddr(t), filepath.Join(folder, "others")) // the authority looks at a port where nobody is
	out, stop = gatewayAt(t, program, config, trust)
	defer stop()
	patience.Until(t, "a Warn", func() bool { return strings.Contains(out.String(), "log_code=serve_no_certificate") })
}

// served calls the gateway by its name and returns the number of its certificate.
func served(t *testing.T, at string, issued *x509.Certificate, out *logtest.Log) (serial string) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(issued)
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: domain, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, ForceAttemptHTTP2: true,
	}
	var failed error
	if !patience.Wait(func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+at+"/healthz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := transport.RoundTrip(r)
		if failed = err; err != nil {
			return false
		}
		defer func() { _ = res.Body.Close() }()
		serial = res.TLS.PeerCertificates[0].SerialNumber.String()
		return res.StatusCode == http.StatusOK
	}) {
		t.Fatalf("%v\n%s", failed, out)
	}
	return serial
}
