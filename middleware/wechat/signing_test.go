package wechat_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// signing are made-up keys, with a certificate that expires at end.
func signing(t *testing.T, end time.Time) *platform.Signing {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "made up"}, NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &platform.Signing{
		SymmetricSerial: "1", SymmetricKey: wechat.Secret(base64.StdEncoding.EncodeToString(make([]byte, 32))),
		PrivateKey:   wechat.Secret(string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))),
		Certificates: map[string]string{"2": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))},
		Paths:        []string{"/wxa/getuserriskrank"},
	}
}

// recorder notes the requests to a path.
type recorder struct {
	http.RoundTripper

	path   string
	header http.Header
	body   string

	unsigned bool // from now on answers arrive without their signature
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path == r.path {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		r.header, r.body = req.Header, string(body)
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	res, err := r.RoundTripper.RoundTrip(req)
	if err == nil && r.unsigned && req.URL.Path == r.path {
		res.Header.Del("Wechatmp-Signature")
	}
	return res, err
}

// madeUpSigning are keys that the simulator has too, for calls of a path.
func madeUpSigning(t *testing.T, wx *simulator.Simulator, path string) *platform.Signing {
	t.Helper()
	keys, err := simulator.MakeUpSigning(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := wx.Update(testAppID, func(a *simulator.Account) { a.Signing = &keys }); err != nil {
		t.Fatal(err)
	}
	return &platform.Signing{
		SymmetricSerial: keys.SymmetricSerial, SymmetricKey: wechat.Secret(keys.SymmetricKey), PrivateKey: wechat.Secret(keys.AppKey),
		Certificates: map[string]string{keys.Serial: keys.Certificate}, Paths: []string{path},
	}
}

// TestSigning: a call is encrypted on its way, and an answer that is not signed is an error.
func TestSigning(t *testing.T) {
	log := new(logtest.Log)
	cfg, wx := inMemory(t, config(), simulator.Options{Accounts: miniAccount()})
	cfg.Logger = log.Logger(slog.LevelInfo)
	wire := &recorder{RoundTripper: cfg.Transport, path: "/wxa/getuserriskrank"}
	cfg.Signing = madeUpSigning(t, wx.Simulator, wire.path)
	cfg.Signing.Certificates["2"] = signing(t, time.Now().Add(59*24*time.Hour)).Certificates["2"]
	cfg.Transport = wire
	client := newClient(t, cfg)
	if err := client.Post(t.Context(), wire.path, map[string]string{"openid": "o-private"}, nil); err != nil {
		t.Errorf("a signed call: %v", err)
	}
	wire.unsigned = true
	var refused *platform.SignatureError
	if err := client.Post(t.Context(), wire.path, map[string]string{"openid": "o-private"}, nil); !errors.As(err, &refused) || !refused.Sent {
		t.Errorf("an answer that is not signed: %v", err)
	}
	if wire.header.Get("Wechatmp-Appid") != testAppID || wire.header.Get("Wechatmp-Signature") == "" || strings.Contains(wire.body, "o-private") ||
		!strings.HasPrefix(wire.body, `{"iv":"`) {
		t.Errorf("%v %s", wire.header, wire.body)
	}
	if err := client.Post(t.Context(), "/wxa/other", nil, nil); err != nil {
		t.Errorf("another path: %v", err)
	}
	if !strings.Contains(log.String(), "certificate in Config.Signing expires") {
		t.Errorf("the log does not say that the certificate expires: %s", log)
	}

	cfg = config()
	cfg.Signing = signing(t, time.Now().Add(365*24*time.Hour))
	cfg.Signing.AppID = "wxfedcba9876543210"
	if _, err := wechat.New(cfg); err == nil || !strings.Contains(err.Error(), "Config.Signing.AppID") {
		t.Errorf("another AppID: %v", err)
	}
	cfg.Signing.AppID, cfg.Signing.PrivateKey = "", wechat.Secret("secret-and-wrong")
	if _, err := wechat.New(cfg); err == nil || !strings.Contains(err.Error(), "wechat: Config.Signing.PrivateKey") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong key: %v", err)
	}
}
