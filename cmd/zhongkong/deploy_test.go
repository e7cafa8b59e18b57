//go:build unix

package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

// written puts text into a new file of a name.
func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { // a server that gives up its rights reads it
		t.Fatal(err)
	}
	return path
}

// TestUnit: what the unit runs is a command line of ours, its configuration reads its
// credentials, and systemd finds nothing wrong and little exposed.
func TestUnit(t *testing.T) {
	t.Parallel()
	unit := repository(t, "deploy/systemd/zhongkong.service")
	line := regexp.MustCompile(`(?m)^ExecStart=/usr/bin/zhongkong (.*)$`).FindStringSubmatch(unit)
	if line == nil {
		t.Fatal("it does not start /usr/bin/zhongkong")
	}
	if err := parses(strings.Fields(line[1])); err != nil {
		t.Error(err)
	}
	// The gateway drains for 5 s and waits 30 s.
	if !strings.Contains(unit, "\nTimeoutStopSec=45\n") || (drainGrace+drainTime).Seconds() >= 45 {
		t.Error("systemd kills it before it has ended")
	}
	// The configuration, with credentials where systemd would put them.
	const credentials = "/run/credentials/zhongkong.service/"
	folder := t.TempDir()
	for _, name := range []string{"admin", "metrics", "shop"} {
		value := strings.Repeat("made-up-", 4) + name
		if name == "shop" {
			value = strings.Repeat("0123456789abcdef", 2)
		}
		if err := os.WriteFile(filepath.Join(folder, "secrets_"+name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := strings.ReplaceAll(repository(t, "deploy/systemd/zhongkong.yaml"), credentials, folder+"/")
	settings, err := gateway.ReadSettings(written(t, "zhongkong.yaml", config))
	if err != nil {
		t.Fatal(err)
	}
	if settings.Store != "sqlite:/var/lib/zhongkong/zhongkong.db" {
		t.Errorf("its store, %s, is not in its StateDirectory", settings.Store)
	}

	analyze := testserver.Program(t, "systemd-analyze", "systemd")
	path := written(t, "zhongkong.service", strings.ReplaceAll(unit, "/usr/bin/zhongkong ", "/bin/true "))
	for _, args := range [][]string{{"verify", "--man=no"}, {"security", "--no-pager", "--offline=true", "--threshold=20"}} {
		out, err := exec.CommandContext(t.Context(), analyze, append(args, path)...).CombinedOutput()
		if err != nil || args[0] == "verify" && bytes.Contains(out, []byte("zhongkong.service:")) {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
}

// TestCallbackProxies runs nginx and Caddy with what deploy has for them: a push passes as it
// is, and nothing but a push does, however it is spelled.
func TestCallbackProxies(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T, behind string) (base string){"nginx": startNginx, "caddy": startCaddy} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var passed []string
			behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				defer mu.Unlock()
				passed = append(passed, r.RequestURI)
				_, _ = fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
			}))
			t.Cleanup(behind.Close)
			base := start(t, behind.Listener.Addr().String())
			const push = "/callback/wx0123456789abcdef?signature=a&timestamp=1&nonce=b"
			patience.Until(t, name, func() bool {
				status, answer := overTLS(t, base, http.MethodPost, push, "<xml/>")
				return status == http.StatusOK && answer == "POST "+push+" <xml/>"
			})
			for _, path := range []string{"/callback/ww0123456789abcdef:1000002", "/callback/ww0123456789abcdef%3A1000002"} { // an app of WeCom
				if status, answer := overTLS(t, base, http.MethodPost, path+"?msg_signature=a", "<xml/>"); status != http.StatusOK {
					t.Errorf("%s: %d %s", path, status, answer)
				}
			}
			mu.Lock()
			passed = nil
			mu.Unlock()
			for _, path := range []string{
				"/", "/callback", "/callback/", "/cgi-bin/token", "/zhongkong/v1/accounts", "/healthz", "/readyz", "/login/shop",
				"/callback/../cgi-bin/token", "/callback/%2e%2e/cgi-bin/token", "/callback/wx1/../../cgi-bin/token", "/callback/wx1%2f..%2f..%2fcgi-bin%2ftoken",
				"/callback/wx1/x", "/callback/wx1:x", "/callback/ww1:1000002/x", "/callback/:1", "//callback/wx1/", "/CALLBACK/wx1", "/callback/wx1;x",
			} {
				if status, answer := overTLS(t, base, http.MethodGet, path, ""); status != http.StatusNotFound && status != http.StatusBadRequest {
					t.Errorf("%s: %d %s", path, status, answer)
				}
			}
			mu.Lock()
			for _, uri := range passed {
				t.Errorf("%s was passed on", uri)
			}
			mu.Unlock()
			// A proxy that has seen enough may end the connection before its 413 is read.
			if status, _ := overTLS(t, base, http.MethodPost, push, strings.Repeat("x", 2<<20)); status == http.StatusOK {
				t.Error("a body of 2 MiB was taken")
			}
		})
	}
}

// overTLS sends a request whose path stays as it is written. A certificate is not looked at.
func overTLS(t *testing.T, base, method, path, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, base, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque = path
	path, r.URL.RawQuery, _ = strings.Cut(path, "?")
	r.URL.Opaque = "//" + r.URL.Host + path
	if !strings.HasPrefix(path, "//") {
		r.URL.Opaque = path
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	res, err := transport.RoundTrip(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	content, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(content)
}

// startNginx starts one with deploy/nginx.conf, whose certificate and addresses are of here.
func startNginx(t *testing.T, behind string) string {
	t.Helper()
	program := testserver.Program(t, "nginx", "nginx-light")
	certificate, key := testserver.Certificate(t, "wx.example.com")
	folder, at := t.TempDir(), testserver.FreeAddr(t)
	snippet := strings.NewReplacer(
		"    listen [::]:443 ssl;\n", "", "listen 443 ssl", "listen "+at+" ssl", "127.0.0.1:8300", behind,
		"/etc/ssl/certs/wx.example.com.pem", certificate, "/etc/ssl/private/wx.example.com.key", key,
	).Replace(repository(t, "deploy/nginx.conf"))
	if strings.Contains(snippet, "443") || strings.Contains(snippet, "/etc/") && strings.Contains(snippet, "ssl_certificate /etc") {
		t.Errorf("nginx.conf is another one than this test knows:\n%s", snippet)
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n"
	}
	config := fmt.Sprintf(`%spid %[2]s/pid; error_log stderr; daemon off; master_process off;
events {}
http { access_log off; client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s;
%[3]s}
`, user, folder, snippet)
	runs(t, program, "-p", folder, "-c", written(t, "nginx.conf", config))
	return "https://" + at
}

// startCaddy starts one with deploy/Caddyfile, in plain HTTP.
func startCaddy(t *testing.T, behind string) string {
	t.Helper()
	program := testserver.Program(t, "caddy", "caddy")
	at := testserver.FreeAddr(t)
	config := repository(t, "deploy/Caddyfile")
	if out, err := exec.CommandContext(t.Context(), program, "validate", "--adapter", "caddyfile", "--config", written(t, "Caddyfile", config)).CombinedOutput(); err != nil {
		t.Errorf("caddy validate: %v\n%s", err, out)
	}
	here := strings.NewReplacer("wx.example.com {", "http://"+at+" {", "127.0.0.1:8300", behind).Replace(config)
	runs(t, program, "run", "--adapter", "caddyfile", "--config", written(t, "Caddyfile", "{\n\tadmin off\n}\n"+here))
	return "http://" + at
}

// runs starts a program that ends with the test.
func runs(t *testing.T, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	testserver.Run(t, cmd)
}

// TestScripts: shellcheck finds nothing in the scripts.
func TestScripts(t *testing.T) {
	t.Parallel()
	shellcheck := testserver.Program(t, "shellcheck", "shellcheck")
	var scripts []string
	for _, pattern := range []string{".ci/*", "deploy/*/*.sh"} {
		found, err := filepath.Glob(filepath.Join("..", "..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && !info.IsDir() {
				scripts = append(scripts, path)
			}
		}
	}
	if len(scripts) < 5 {
		t.Errorf("only %q were found", scripts)
	}
	if out, err := exec.CommandContext(t.Context(), shellcheck, scripts...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestHealthcheck: a gateway in plain HTTP and in TLS is well, one that is not there is not.
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	healthy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, `{"healthy":true}`)
	})
	plain, secured := httptest.NewServer(healthy), httptest.NewTLSServer(healthy)
	defer plain.Close()
	defer secured.Close()
	strict := httptest.NewUnstartedServer(healthy)
	strict.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	strict.StartTLS()
	defer strict.Close()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	config := written(t, "zhongkong.yaml", "listen: 0.0.0.0:"+plain.URL[strings.LastIndex(plain.URL, ":")+1:]+"\naccounts: []\n")
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"plain HTTP":                   {[]string{plain.Listener.Addr().String()}, exitOK},
		"TLS":                          {[]string{secured.Listener.Addr().String()}, exitOK},
		"TLS with certificates":        {[]string{strict.Listener.Addr().String()}, exitOK},
		"not ready":                    {[]string{"--ready", plain.Listener.Addr().String()}, exitFailed},
		"cannot be asked":              {[]string{"--ready", strict.Listener.Addr().String()}, exitFailed},
		"not there":                    {[]string{closed}, exitFailed},
		"where the configuration says": {[]string{"--config", config}, exitOK},
		"another machine":              {[]string{"192.0.2.1:8300"}, exitMistake},
		"no address":                   {[]string{"8300"}, exitMistake},
	} {
		terminal := newTerminal(strings.NewReader(""), io.Discard, io.Discard, func(string) (string, bool) { return "", false })
		if got := run(t.Context(), append([]string{"healthcheck"}, c.args...), terminal); got != c.want {
			t.Errorf("%s: exit code %d, want %d", name, got, c.want)
		}
	}
}
