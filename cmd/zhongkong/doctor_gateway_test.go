package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/cmd/zhongkong/internal/doctor"
)

// newCertificate writes one that ends at a time, and its key.
func newCertificate(t *testing.T, folder string, end time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gateway"}, DNSNames: []string{"localhost"},
		NotBefore: end.Add(-365 * 24 * time.Hour), NotAfter: end,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDoctorGateway: the configuration of a gateway, and its two accounts.
func TestDoctorGateway(t *testing.T) {
	t.Parallel()
	healthy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"healthy":true}`) }))
	t.Cleanup(healthy.Close)
	older := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(doctor.FingerprintHeader, "00112233445566778899aabbccddeeff")
		_, _ = io.WriteString(w, `{"healthy":true}`)
	}))
	t.Cleanup(older.Close)
	strange := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(strange.Close)
	at := func(server *httptest.Server) string { return strings.TrimPrefix(server.URL, "http://") }
	const nobody = "127.0.0.1:0" // any port that is free: one that all share is in use while another doctor looks at it
	const tls = "tls: {cert: cert.pem, key: key.pem}\n"
	for name, row := range map[string]struct {
		illness

		lines string // of the configuration
	}{
		"well":         {illness{}, ""},
		"it runs":      {illness{}, "listen: " + at(healthy) + "\n"},
		"it is older":  {illness{check: "listen", cause: "other_configuration", state: "warning", says: at(older)}, "listen: " + at(older) + "\n"},
		"in use":       {illness{check: "listen", cause: "address_in_use", says: at(strange)}, "listen: " + at(strange) + "\n"},
		"admin in use": {illness{check: "listen", cause: "address_in_use"}, "admin: {listen: '" + at(strange) + "', key: '" + strings.Repeat("k", 32) + "'}\n"},
		"no address":   {illness{check: "listen", cause: "cannot_listen"}, "listen: 192.0.2.1:8300\n"},
		"in the clear": {illness{check: "listen", cause: "plain_http"}, "listen: 0.0.0.0:0\n"},
		"plain":        {illness{}, "listen: 0.0.0.0:0\nplain_http: true\n"},
		"no seal key":  {illness{check: "configuration", cause: "no_seal_key", do: func(s *shop) { delete(s.env, "ZHONGKONG_SEAL_KEY") }}, ""},
		"no seal key, and one runs": {
			illness{check: "configuration", cause: "no_seal_key", do: func(s *shop) { delete(s.env, "ZHONGKONG_SEAL_KEY") }},
			"listen: " + at(older) + "\n",
		},
		"no TLS files":  {illness{check: "certificate", cause: "certificate_unusable"}, tls},
		"TLS":           {illness{do: func(s *shop) { newCertificate(s.t, filepath.Dir(s.database), time.Now().Add(90*24*time.Hour)) }}, tls},
		"TLS ends soon": {illness{check: "certificate", cause: "certificate_ends", state: "warning", do: func(s *shop) { newCertificate(s.t, filepath.Dir(s.database), time.Now().Add(24*time.Hour)) }}, tls},
		"TLS ended":     {illness{check: "certificate", cause: "certificate_expired", do: func(s *shop) { newCertificate(s.t, filepath.Dir(s.database), time.Now().Add(-time.Hour)) }}, tls},
		"its key is open": {illness{check: "files", cause: "readable_by_others", state: "warning", says: "key.pem", do: func(s *shop) {
			newCertificate(s.t, filepath.Dir(s.database), time.Now().Add(90*24*time.Hour))
			chmod(s.t, filepath.Join(filepath.Dir(s.database), "key.pem"), 0o644)
		}}, tls},
		"its file is open": {illness{
			check: "files", cause: "readable_by_others", state: "warning", says: "gateway.yaml (0640)",
			do: func(s *shop) {
				chmod(s.t, filepath.Join(filepath.Dir(s.database), "gateway.yaml"), 0o640)
			},
		}, ""},
		"its metrics key is open": {illness{
			check: "files", cause: "readable_by_others", state: "warning", says: "metrics.key (0644)",
			do: func(s *shop) {
				path := filepath.Join(filepath.Dir(s.database), "metrics.key")
				if err := os.WriteFile(path, []byte(strings.Repeat("m", 32)), 0o600); err != nil {
					s.t.Fatal(err)
				}
				chmod(s.t, path, 0o644)
			},
		}, "admin: {listen: '" + nobody + "', key: '" + strings.Repeat("k", 32) + "', metrics_key: {file: metrics.key}}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, "stable")
			s.run("get", exitOK)
			file := filepath.Join(filepath.Dir(s.database), "gateway.yaml")
			lines := row.lines + "store: sqlite:" + s.database + "\napi_base: " + s.URL + "\naccounts:\n  - {appid: " + tokenAppID +
				", secret: '" + tokenSecret + "'}\n"
			if !strings.Contains(lines, "listen: ") || strings.Contains(lines, "admin") {
				lines = "listen: " + nobody + "\n" + lines
			}
			if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
				t.Fatal(err)
			}
			s.env = map[string]string{"ZHONGKONG_SEAL_KEY": sealKey}
			if row.do != nil {
				row.do(s)
			}
			s.examine("--wait 60s --config "+file, sealKey).wants(t, row.illness)
		})
	}
}

// TestDoctorAccounts: of several accounts each has its own findings, and --account
// chooses.
func TestDoctorAccounts(t *testing.T) {
	t.Parallel()
	const second = "wxfedcba9876543210"
	s := newShop(t, "stable")
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	settings := "listen: 127.0.0.1:0\nstore: 'memory:'\napi_base: " + s.URL + "\naccounts:\n" +
		"  - {appid: " + tokenAppID + ", secret: '" + tokenSecret + "'}\n" +
		"  - {appid: " + second + ", secret: 'made-up', token_api: classic}\n"
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = map[string]string{"ZHONGKONG_SEAL_KEY": sealKey}
	s.examine("--wait 60s --config "+file).wants(t, illness{check: "credentials", cause: "unknown_appid", errcode: 40013})
	s.examine("--wait 60s --account "+tokenAppID+" --config "+file).wants(t, illness{})
	_, out, _ := started(t.Context(), s.env, "doctor", "--config", file)
	first, last := strings.Index(out, "\n"+tokenAppID+"\n✓ credentials"), strings.Index(out, "\n"+second+"\n✗ credentials")
	if first < 0 || last < first || !strings.Contains(out, ": 2 accounts") || !strings.Contains(out, "\n 1. "+second+": Copy the AppID") {
		t.Error(out)
	}
	if n := s.Stats(tokenAppID); n.Classic.Calls != 0 {
		t.Errorf("%+v", n)
	}
}

// TestDoctorNamesTheField: what --config brings is corrected in its file, not in a variable.
func TestDoctorNamesTheField(t *testing.T) {
	t.Parallel()
	s := newShop(t, "stable")
	file := filepath.Join(t.TempDir(), "zhongkong.yaml")
	lines := "listen: 127.0.0.1:0\nstore: redis://127.0.0.1:1\napi_base: " + s.URL + "\naccounts:\n  - {appid: " + tokenAppID + ", secret: '" + tokenSecret + "'}\n"
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	_, out, _ := started(t.Context(), map[string]string{}, "doctor", "--config", file)
	if !strings.Contains(out, "Check store ("+file+")") || strings.Contains(out, "ZHONGKONG_STORE") {
		t.Error(out)
	}
	_, out, _ = started(t.Context(), map[string]string{"ZHONGKONG_STORE": "redis://127.0.0.1:1", "WECHAT_APPID": tokenAppID, "WECHAT_APPSECRET": tokenSecret, "WECHAT_API_BASE": s.URL}, "doctor")
	if !strings.Contains(out, "Check ZHONGKONG_STORE") {
		t.Error(out)
	}
}
