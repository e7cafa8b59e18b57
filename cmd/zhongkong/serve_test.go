//go:build unix

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/cmd/zhongkong/internal/doctor"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

const testSeal = "c2VhbGluZy1rZXktb2YtdGhlLXRlc3RzLTMyLWJ5dGU="

// output is all that a program writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// served is the built program, serving.
type served struct {
	*exec.Cmd

	out  *output
	base string
}

func serve(t *testing.T, env []string, args ...string) *served {
	t.Helper()
	s := &served{Cmd: exec.CommandContext(t.Context(), binary(t), append([]string{"serve"}, args...)...), out: new(output)}
	s.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), "ZHONGKONG_DRAIN_GRACE=0s"}, env...)
	s.Stdout, s.Stderr = s.out, s.out
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	s.base = s.until(t, regexp.MustCompile(`The gateway is at (\S+)`))[1]
	return s
}

// until waits for what is written.
func (s *served) until(t *testing.T, what *regexp.Regexp) []string {
	t.Helper()
	var found []string
	if !patience.Wait(func() bool {
		found = what.FindStringSubmatch(s.out.String())
		return found != nil
	}) {
		t.Fatalf("no %s in %s:\n%s", what, patience.Bound, s.out)
	}
	return found
}

// stop ends it as a service manager does.
func (s *served) stop(t *testing.T) {
	t.Helper()
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, s.out)
	}
}

// command runs another command of the program.
func command(t *testing.T, env []string, args ...string) (out, errs string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = append([]string{"PATH=" + os.Getenv("PATH")}, env...), &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

// apiCall calls an API through the gateway with a client's key.
func apiCall(t *testing.T, base, appid, key string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/cgi-bin/get_api_domain_ip", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("X-WeChat-AppID", appid)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestServeDemo: the demo at Debug, used and abused; what comes out, the database
// included, holds no AppSecret and no real token.
func TestServeDemo(t *testing.T) {
	t.Parallel()
	const seed = 7
	s := serve(t, []string{"ZHONGKONG_LOG_LEVEL=debug"}, "--demo", "--seed", fmt.Sprint(seed), "--listen", "127.0.0.1:0")
	weChat := s.until(t, regexp.MustCompile(`WeChat is simulated at (\S+)\. The database is (\S+),`))
	appid := s.until(t, regexp.MustCompile(`APPID=(\S+)`))[1]
	key := s.until(t, regexp.MustCompile(`KEY=(\S+)`))[1]
	s.until(t, regexp.MustCompile(`(?s)curl.*curl.*curl.*Ctrl-C`))
	page := s.until(t, regexp.MustCompile(`(?s)key of the admin:\s+(http://127\.0\.0\.1:\S+/page/)\s+(\w{32,})`))
	jar, _ := cookiejar.New(nil)
	res, err := (&http.Client{Jar: jar}).PostForm(page[1]+"login", url.Values{"key": {page[2]}})
	if err != nil {
		t.Fatal(err)
	}
	overview, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK || !strings.Contains(string(overview), `id="account-`+appid) {
		t.Errorf("the page with the key that was printed: %d", res.StatusCode)
	}

	// The same seed makes up the same secrets here.
	wx, err := simulator.New(simulator.Options{Seed: seed})
	if err != nil || wx.Accounts()[0].AppID != appid {
		t.Fatal(err, appid)
	}
	secrets := []string{wx.Accounts()[0].Secret}
	for range 20 {
		secrets = append(secrets, wx.Supersede(appid), wx.SupersedeStable(appid))
	}

	fetch := s.base + "/cgi-bin/token?grant_type=client_credential&appid=" + appid + "&secret="
	var answers strings.Builder
	for range 3 {
		_, token := fetched(t, "GET", fetch+key, "")
		if !strings.Contains(token, `"expires_in":7200`) {
			t.Fatal(token)
		}
		answers.WriteString(token)
		for range 3 {
			got := apiCall(t, s.base, appid, key)
			if !strings.Contains(got, "ip_list") {
				t.Error(got)
			}
			answers.WriteString(got)
		}
		fetched(t, "POST", weChat[1]+"/simulator/accounts/"+appid+"/kill", "")
	}
	for _, wrong := range []string{secrets[0], key[:50], "x"} {
		_, got := fetched(t, "GET", fetch+wrong, "")
		answers.WriteString(got)
	}
	_, _ = fetched(t, "GET", s.base+"/"+key, "")
	_, _ = fetched(t, "GET", s.base+"/cgi-bin/user/get?access_token="+secrets[1], "")
	_, _ = fetched(t, "GET", s.base+"/sns/jscode2session?appid="+appid+"&secret="+key+"&js_code=c", "")
	_, ready := fetched(t, "GET", s.base+"/readyz", "")
	answers.WriteString(ready)
	answers.Write(overview)

	folder := filepath.Dir(weChat[2])
	files, err := os.ReadDir(folder)
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	all := map[string]string{"the answers": answers.String()}
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(folder, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[file.Name()] = string(content)
	}
	s.stop(t)
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the demo leaves %s behind", folder)
	}
	all["the output"] = s.out.String()
	if !strings.Contains(all["the output"], "level=DEBUG") ||
		!strings.Contains(all["zhongkong.db"]+all["zhongkong.db-wal"], "access_token/classic/"+appid) {
		t.Error("nothing to look through")
	}
	for name, text := range all {
		for n, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s: secret %d is shown", name, n)
			}
		}
		if name != "the output" && strings.Contains(text, key) {
			t.Errorf("%s: the client's key is shown", name)
		}
	}
	if n := strings.Count(all["the output"], key); n != 1 {
		t.Errorf("the client's key is shown %d times, want once", n)
	}
	fetches := 0
	for line := range strings.Lines(all["the output"]) {
		if strings.Contains(line, "?") && strings.Contains(line, "path=") {
			t.Errorf("a query is logged: %s", line)
		}
		fetches += strings.Count(line, "path=/cgi-bin/token")
	}
	if fetches == 0 {
		t.Error("no fetch in the log")
	}
}

// TestServeConfig: a file, SIGHUP, and clients by command.
func TestServeConfig(t *testing.T) {
	t.Parallel()
	const first, second = "wx0000000000000001", "wx0000000000000002"
	wx := simtest.New(
		t,
		simulator.Options{
			Accounts: []simulator.Account{{AppID: first, Secret: "secret-of-the-first"}, {AppID: second, Secret: "secret-of-the-second"}},
		},
	)
	folder := t.TempDir()
	config := filepath.Join(folder, "zhongkong.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	head := fmt.Sprintf("listen: 127.0.0.1:0\nstore: sqlite:%s\napi_base: %s\nadmin:\n  listen: 127.0.0.1:0\n  key: made-up-admin-key-0123456789abcdef\n  metrics_key: made-up-metrics-key-0123456789abcdef\nlog: {format: json}\naccounts:\n  - appid: %s\n    secret: {env: FIRST}\n",
		filepath.Join(folder, "zhongkong.db"), wx.URL, first)
	write(head)
	s := serve(t, []string{"ZHONGKONG_SEAL_KEY=" + testSeal, "FIRST=secret-of-the-first"}, "--config", config)
	env := []string{"FIRST=secret-of-the-first"}

	out, _, err := command(t, env, "client", "add", "shop", "--account", "*", "--config", config)
	key := strings.TrimSpace(out)
	if err != nil || !strings.HasPrefix(key, "zkkey_") {
		t.Fatal(err, out)
	}
	soon := func(what string, is func() bool) {
		t.Helper()
		if !patience.Wait(is) {
			t.Fatalf("%s: not within %s\n%s", what, patience.Bound, s.out)
		}
	}
	works := func(appid, key string) func() bool {
		return func() bool {
			return strings.Contains(apiCall(t, s.base, appid, key), "ip_list")
		}
	}
	soon("a new client", works(first, key))
	if _, errs, err := command(t, env, "client", "add", "shop", "--account", "*", "--config", config); err == nil ||
		!strings.Contains(errs, "there is a client of that name") {
		t.Error(err, errs)
	}

	for _, wrong := range [][]string{{}, {"--return", "http://shop.example/"}, {"--origin", "shop.example"}, {"--no-returns", "--return", "https://shop.example/"}} {
		if out, _, err := command(t, env, append([]string{"client", "sites", "shop", "--config", config}, wrong...)...); err == nil {
			t.Errorf("client sites %q: %s", wrong, out)
		}
	}
	if _, errs, err := command(t, env, "client", "sites", "shop", "--return", "https://shop.example/*", "--origin", "https://shop.example", "--config", config); err != nil {
		t.Fatal(err, errs)
	}
	if list, _, err := command(t, env, "client", "list", "--config", config); err != nil || !strings.Contains(list, "logs in for https://shop.example/*, pages of https://shop.example") {
		t.Error(err, list)
	}
	soon("a page without a key", func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+"/zhongkong/v1/accounts/"+first+"/jsconfig?url=https%3A%2F%2Fshop.example%2F", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		return err == nil && strings.Contains(string(b), `"signature":"`)
	})

	fingerprint := func() string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+"/healthz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.Header.Get(doctor.FingerprintHeader)
	}
	before := fingerprint()
	if len(before) != 32 {
		t.Errorf("the fingerprint of the configuration is %q", before)
	}

	write(head + "  - appid: " + second + "\n    secert: x\n")
	_ = s.Process.Signal(syscall.SIGHUP)
	s.until(t, regexp.MustCompile(`line 13: unknown field`))
	write(strings.Replace(head, "json", "text", 1) + "  - {appid: " + second + ", secret: secret-of-the-second}\n")
	_ = s.Process.Signal(syscall.SIGHUP)
	s.until(t, regexp.MustCompile(`log was changed, which needs a restart`))
	if !works(first, key)() || works(second, key)() {
		t.Error("a wrong change was taken, in part")
	}
	if got := fingerprint(); got != before {
		t.Error("the gateway names a configuration that it did not take")
	}
	write(head + "  - {appid: " + second + ", secret: secret-of-the-second}\n")
	_ = s.Process.Signal(syscall.SIGHUP)
	soon("an account after SIGHUP", works(second, key))
	soon("the fingerprint of what it took", func() bool { return fingerprint() != before })

	out, _, err = command(t, env, "client", "rotate", "shop", "--grace", "1h", "--config", config)
	fresh := strings.TrimSpace(out)
	if err != nil {
		t.Fatal(err)
	}
	soon("a rotated key", works(first, fresh))
	if !works(first, key)() {
		t.Error("the key before has a grace of 1 h")
	}
	if out, _, err := command(t, env, "client", "list", "--config", config); err != nil || !strings.HasPrefix(out, "NAME ") || !strings.Contains(out, "\nshop ") ||
		strings.Contains(out, "zkkey_") {
		t.Error(err, out)
	}
	if _, _, err := command(t, env, "client", "revoke", "shop", "--config", config); err != nil {
		t.Fatal(err)
	}
	soon("a revocation", func() bool { return !works(first, fresh)() && !works(first, key)() })
	if _, errs, err := command(t, env, "client", "revoke", "shop", "--config", config); err == nil ||
		!strings.Contains(errs, "there is no such client") {
		t.Error(err, errs)
	}

	admin := s.until(t, regexp.MustCompile(`The admin API is at (\S+)`))[1]
	ask := func(path, key string) (text string, status int) {
		t.Helper()
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, admin+path, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+key)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		return string(body), res.StatusCode
	}
	journal, _ := ask("/journal", "made-up-admin-key-0123456789abcdef")
	if text, _ := ask("/metrics", "made-up-metrics-key-0123456789abcdef"); !strings.Contains(text,
		"zhongkong_token_live{appid=\""+first+"\"} 1\n") {
		t.Errorf("the metrics: %s", text)
	}
	if _, status := ask("/journal", "made-up-metrics-key-0123456789abcdef"); status != http.StatusUnauthorized &&
		status != http.StatusTooManyRequests { // others have tried from this address
		t.Errorf("the metrics key opens the journal: status %d", status)
	}
	page := s.until(t, regexp.MustCompile(`its page at (\S+)`))[1]
	if status, login := fetched(t, "GET", page, ""); status != 200 || !strings.Contains(login, `type="password"`) || strings.Contains(login, first) {
		t.Errorf("the page: %d %s", status, login)
	}
	for _, act := range []string{"add client", "rotate client", "revoke client", "command "} {
		if !strings.Contains(journal, act) {
			t.Errorf("the journal has no %q: %s", act, journal)
		}
	}
	s.stop(t)
	for _, secret := range []string{"secret-of-the", "made-up-admin", "made-up-metrics", key, fresh, testSeal} {
		if strings.Contains(s.out.String(), secret) {
			t.Errorf("the output shows %.10s…", secret)
		}
	}
}

// TestServeLingers: for a while after SIGTERM /readyz says 503 and new calls are served,
// over new connections too; a second signal ends that.
func TestServeLingers(t *testing.T) {
	t.Parallel()
	for _, twice := range []bool{false, true} {
		wx := simtest.New(t, simulator.Options{})
		account := wx.Accounts()[0]
		env := []string{"ZHONGKONG_STORE=sqlite:" + filepath.Join(t.TempDir(), "z.db"), "ZHONGKONG_SEAL_KEY=" + testSeal, "ZHONGKONG_DRAIN_GRACE="}
		out, _, err := command(t, env, "client", "add", "shop", "--account", account.AppID)
		if err != nil {
			t.Fatal(err)
		}
		s := serve(t, append(env, "WECHAT_APPID="+account.AppID, "WECHAT_APPSECRET="+account.Secret, "WECHAT_API_BASE="+wx.URL), "--listen", "127.0.0.1:0")
		patience.Until(t, "readiness", func() bool { status, _ := fetched(t, "GET", s.base+"/readyz", ""); return status == 200 })
		if err := s.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		began, served := time.Now(), 0
		patience.Until(t, "503", func() bool { status, _ := fetched(t, "GET", s.base+"/readyz", ""); return status == 503 })
		for time.Since(began) < 2*time.Second {
			if answer := apiCall(t, s.base, account.AppID, strings.TrimSpace(out)); !strings.Contains(answer, "ip_list") {
				t.Fatalf("%s after SIGTERM: %s", time.Since(began), answer)
			}
			served++
		}
		if twice {
			_ = s.Process.Signal(syscall.SIGTERM)
		}
		err = s.Wait()
		if took := time.Since(began); served == 0 || twice != (err != nil) || took > 40*time.Second || twice == (took > 4*time.Second) {
			t.Errorf("twice %t: %d calls, ended after %s: %v", twice, served, took, err)
		}
	}
}

// TestServeDrains: a call that is under way when SIGTERM comes gets its answer.
func TestServeDrains(t *testing.T) {
	t.Parallel()
	arrived, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	wx := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cgi-bin/stable_token" {
			_, _ = io.WriteString(w, `{"access_token":"91_made-up","expires_in":7200}`)
			return
		}
		once.Do(func() { close(arrived) })
		<-leave
		_, _ = io.WriteString(w, `{"ip_list":[]}`)
	}), ReadHeaderTimeout: time.Minute}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = wx.Serve(listener) }()
	defer func() { _ = wx.Close() }()
	env := []string{"ZHONGKONG_STORE=sqlite:" + filepath.Join(t.TempDir(), "z.db")}
	out, _, err := command(t, env, "client", "add", "shop", "--account", "wx1")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(
		t,
		append(
			env,
			"ZHONGKONG_SEAL_KEY="+testSeal,
			"WECHAT_APPID=wx1",
			"WECHAT_APPSECRET=made-up",
			"WECHAT_API_BASE=http://"+listener.Addr().String(),
		),
		"--listen",
		"127.0.0.1:0",
	)
	got := make(chan string, 1)
	go func() {
		got <- apiCall(t, s.base, "wx1", strings.TrimSpace(out))
	}()
	<-arrived
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	patience.Until(t, "the end of its listening", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	close(leave)
	if answer := <-got; answer != `{"ip_list":[]}` {
		t.Error(answer)
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
}

// certificate makes one, signed by parent or by itself, into files.
func certificate(t *testing.T, folder, name string, parent *tls.Certificate) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: parent == nil, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	issuer, signer := template, any(key)
	if parent != nil {
		issuer, signer = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	for suffix, content := range map[string][]byte{".pem": cert, ".key": secret} {
		if err := os.WriteFile(filepath.Join(folder, name+suffix), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(cert, secret)
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

// TestServeTLS: with a certificate that changes, and for programs that have one.
func TestServeTLS(t *testing.T) {
	t.Parallel()
	wx := simtest.New(t, simulator.Options{})
	folder := t.TempDir()
	ca := certificate(t, folder, "ca", nil)
	certificate(t, folder, "server", ca)
	mine := certificate(t, folder, "mine", ca)
	strange := certificate(t, t.TempDir(), "strange", nil)
	config := filepath.Join(folder, "z.yaml")
	text := fmt.Sprintf("listen: 127.0.0.1:0\nstore: sqlite:%s\napi_base: %s\ntls: {cert: server.pem, key: server.key, client_ca: ca.pem}\naccounts:\n  - {appid: %s, secret: %s}\n",
		filepath.Join(folder, "z.db"), wx.URL, wx.AppID(), wx.Secret())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, []string{"ZHONGKONG_SEAL_KEY=" + testSeal}, "-c", config)
	defer s.stop(t)
	if !strings.HasPrefix(s.base, "https://") {
		t.Fatal(s.base)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Leaf)
	health := func(with *tls.Certificate) (serial string, err error) {
		c := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		if with != nil {
			c.Certificates = []tls.Certificate{*with}
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}}
		res, err := client.Get(s.base + "/healthz")
		if err != nil {
			return "", err
		}
		_ = res.Body.Close()
		return res.TLS.PeerCertificates[0].SerialNumber.String(), nil
	}
	before, err := health(mine)
	if err != nil {
		t.Fatal(err)
	}
	for _, with := range []*tls.Certificate{nil, strange} {
		if _, err := health(with); err == nil {
			t.Error("a program without a certificate of the authority was let in")
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "server.pem"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	patience.Until(t, "a line about the broken file", func() bool {
		if serial, err := health(mine); err != nil || serial != before {
			t.Fatal(serial, err)
		}
		return strings.Contains(s.out.String(), "cannot be used; those from before go on")
	})
	certificate(t, folder, "server", ca)
	patience.Until(t, "the new certificate", func() bool {
		serial, err := health(mine)
		if err != nil {
			t.Fatal(err)
		}
		return serial != before
	})
}

// TestServeMistakes: a clear error, exit code 2, and nothing that listens.
func TestServeMistakes(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	store := "sqlite:" + filepath.Join(folder, "z.db")
	one := with("ZHONGKONG_SEAL_KEY", testSeal, "ZHONGKONG_STORE", store)
	const journaled = "accounts: [{appid: wx1, secret: x}]\n"
	for _, row := range []struct {
		args string
		env  map[string]string
		want string
	}{
		{"serve", account, "ZHONGKONG_SEAL_KEY is not set: the tokens would lie in the store in the clear"},
		{"serve", with("ZHONGKONG_SEAL_KEY", "c2hvcnQ="), "ZHONGKONG_SEAL_KEY, key 1, is not base64 of 32 bytes"},
		{"serve", with("WECHAT_APPID", ""), "there is no account: give --config FILE"},
		{"serve --demo --config x", nil, "--demo and --config exclude one another"},
		{"serve --config " + write("a.yaml", "accounts:\n  - {appid: wx1}\n"), one, "a.yaml: line 2: the account wx1 has no secret"},
		{"serve --config none.yaml", one, "the configuration cannot be read"},
		{"serve --listen 0.0.0.0:0", one, "can be reached from other machines, and keys would travel in the clear"},
		{"serve --config " + write("b.yaml", "listen: 127.0.0.1:0\ntls: {cert: x, key: y}\n"), one, "tls.cert"},
		{"serve --config " + write("c.yaml", "listen: 127.0.0.1:0\nadmin: {listen: 0.0.0.0:0, key: made-up-admin-key-0123456789abcdef}\naccounts: [{appid: wx1, secret: x}]\n"), one, "admin.listen: 0.0.0.0:0 can be reached from other machines"},
		{"serve --check --config " + write("d.yaml", journaled+"journal: {file: nowhere/at/all.jsonl}\n"), one, "journal.file"},
		{"serve --check --config " + write("e.yaml", journaled+"journal: {syslog: 'http://host:514'}\n"), one, "e.yaml: line 2: journal.syslog"},
		{"serve --check --config " + write("f.yaml", journaled+"journal: {webhook: 'http://192.0.2.1/?password'}\n"), one, "f.yaml: line 2: journal.webhook"},
		{"client add shop", one, "--account"},
		{"client add shop --account wx1 --path /a/../b", one, "is no path such as"},
		{"client add shop --account wx1 --ends 2001-01-01", one, "which is over"},
		{"client list --store ftp://:password@x", one, "ftp"},
		{"client list --store memory:", one, "its admin API adds clients there"},
		{"client rotate none --grace=-1s", one, "--grace -1s: it must not be negative"},
	} {
		code, out, errs := started(t.Context(), row.env, strings.Fields(row.args)...)
		if code == 0 || out != "" || !strings.Contains(errs, row.want) || strings.Contains(errs, "password") {
			t.Errorf("%s: %d\n%s%s\nwant %q", row.args, code, out, errs, row.want)
		}
		checkSecrets(t, out, errs)
	}
}
