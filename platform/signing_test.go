package platform

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

// WeChat's published sample of a signed call.
const (
	vectorAppID   = "wxba6223c06417af7b"
	vectorSerial  = "fa05fe1e5bcc79b81ad5ad4b58acf787"
	vectorKey     = "otUpngOjU+nVQaWJIC3D/yMLV17RKaP6t4Ot9tbnzLY="
	vectorPath    = "/wxa/getuserriskrank"
	vectorRequest = 1635927954
	vectorAnswer  = 1635927956
	vectorPlain   = `{"_n":"o89QaPVsRu1yppIZzvSZc4","_appid":"wxba6223c06417af7b","_timestamp":1635927954,"appid":"wxba6223c06417af7b",` +
		`"openid":"oEWzBfmdLqhFS2mTXCo2E4Y9gJAM","scene":0,"client_ip":"127.0.0.1"}`
	vectorIV   = "fmW/zNxXlytUZBgj"
	vectorBody = `{"iv":"fmW/zNxXlytUZBgj","data":"0IDVdrPtSPF/Oe2CTXCV2vVNPbVJdJlP2WaTMQnoYLh5iCrrSNfQFh25EnStDMf0hLlVNBCZQtf9NaV0m4aRA4AA` +
		`YIO7oR/Ge+4yY4EmZp5EVPB42xjScgMx5X3D4VdLCfynXIUKUtZHZvk1zmLVE3RauzJgiM1BB1CPmwcENo3MTJ0z8Vfkf5tMv54kOXobDLlV5rfqKdAX7gM/rP82DgZdt9vvZX44` +
		`ipdbHIjJvw83ZXAFtvftdVw2Qd8=","authtag":"5qeM/2vZv+6KtScN94IpMg=="}`
	vectorSum       = "478d8b106b2fb0a9dcceaf58cd637f51e206fc7685ffcaca57e23205388c1e3b"
	vectorSignature = "wcSSWHZunjz9VKl9q+If9deiyECXDAELfAJNZ4+5T+NhFr8zfhkwdQtlgQ7nN5xs99R57La9UjBTRBGge2KYyshWtw7HIMPAqWNsnpHvx0b2f7s6Bt7OpfOQLlIf" +
		"NgepgTVmUwrqW8/7A12szj7tCe/bRFilwnaX6N0w4duHlfL7ic7IIZXouvy9dLRAa5GtEk1eD/LPWRiKh0SvJ3znPY/pSiQW9zSkXVdj9UGGM8qcKLzPGJ7gSmt3ZOPkFapk9wqF" +
		"mhJwQj//xN5+hUlr2UiNPMNSHve5Y2ADLsNHqk5t7RfAZ8nW9/8lzhVt4t+toy1FeehxCGIC8qgmjIl1hg=="
	vectorAppPublic = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA3FoQOmOl5/CF5hF7ta4EzCy2LaU3Eu2k9DBwQ73J82I53Sx9LAgM1DH3IsYohRRx/BESfbdDI2powvr6QYKVIC+4" +
		"Yavwg7gzhZRxWWmT1HruEADCZAgkUCu+9Il/9FPuitPSoIpBd07NqdkkRe82NBOfrKTdhge/5zd457fl7J81Q5VTIxO8vvq7FSw7k6Jtv+eOjR6SZOWbbUO7f9r4UuUkXmvdGv21" +
		"qiqtaO1EMw4tUCELzY73M7NpCH3RorlommYX3P6q0VrkDHrCE0/QMhmHsF+46E+IRcJ3wtEj3p/mO1VoCpEhawC1U728ZUTwWNEii8hPEhcNAZTKaQMaTQIDAQAB"

	vectorPlatformSerial = "79ba700ea147819f640941bceb38b1d1"
	vectorAnswerBody     = `{"iv":"r2WDQt56rEAmMuoR","data":"HExs66Ik3el+iM4IpeQ7SMEN934FRLFYOd3EmeaIrpP4EPTHckoco6O+PaoRZRa3lqaPRZT7r52f7LUok6gLxc6cdR8C4vpI` +
		`Ifh4xfLC4L7FNy9GbuMK1hcoi8b7gkWJcwZMkuCFNEDmqn3T49oWzAQOrY4LZnnnykv6oUJotdAsnKvmoJkLK7hRh7M2B1d2UnTnRuoIyarXc5Iojwoghx4BOvnV",` +
		`"authtag":"z2BFD8QctKXTuBlhICGOjQ=="}`
	vectorAnswerSignature = "Ht0VfQkkEweJ4hU266C14Aj64H9AXfkwNi5zxUZETCvR2svU1ZYdosDhFX/voLj1TyszqKsVxAlENGt7PPZZ8RQX7jnA4SKhiPUhW4LTbyTenisHJ+ohSfDjYnXavjQs" +
		"BHspFS+BlPHuSSJ2xyQzw1+HuC6nid09ZL4FnGSYo4OI5MJrSb9xLzIVZMIDuUQchGKi/KaB1KzxECLEZcfjqbAgmxC7qOmuBLyO1WkHYDM95NJrHJWba5xv4wrwPru9yYTJSNRn" +
		"lM+zrW5w9pOubC4Jtj3szTAEuOz9AcqUmgaAvMLNAIa8hfODLRe3n/cu4SgYlN/ZkNRU4QXVNbPGMg=="
	vectorPlatformPublic = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAzkP2qWQKaTWSvcWkXR72lzeQay/PlEDT9hGfL3E8ojJXZRUwNm9FD6YMeyJBAUTp62DjnsoVhLFMMq0i1t2XqElB" +
		"UZ4C+DSao9gT1KQdEZN8v8CddFsoEbYYLY5xo9ICmuws56uyNrLaZ772kXxUfJtXxqjHvwA2xTvkb847dXWIQTSzk+aCWqTwMSLD2AH90YnOw19fDO/InKJQ/1m6Nh7HKOxL79kZ" +
		"1I5SSov+2H7XrIePxqVx3KBrpgZ9YQPJaS3+L8HbxzDHifPCTzGCu6uJ89ou4yTT73AlAsJ8Cf9/vPIesLw9wPVe+9G31UE0wEBJezfvXQ4PLJV/aWQyCQIDAQAB"
	vectorAnswerPlain = `{"_n":"ShYZpqdVgY+yQVAxNSWhYg","_appid":"wxba6223c06417af7b","_timestamp":1635927956,"errcode":0,` +
		`"errmsg":"getuserriskrank succ","risk_rank":0,"unoin_id":2258658297}`
)

// publicPEM writes a public key in base64 of DER as PEM.
func publicPEM(t *testing.T, der string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(der)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: raw}))
}

func privatePEM(t *testing.T, key *rsa.PrivateKey) string {
	t.Helper()
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

// rsaKeys are the application's key and WeChat's, made once.
var rsaKeys = sync.OnceValue(func() (keys [2]*rsa.PrivateKey) {
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

// vectorSigning has the sample's keys, but for the application's private one, which nobody
// has published.
func vectorSigning(t *testing.T) Signing {
	t.Helper()
	return Signing{
		AppID: vectorAppID, SymmetricSerial: vectorSerial, SymmetricKey: custody.NewSecret(vectorKey),
		PrivateKey:   custody.NewSecret(privatePEM(t, rsaKeys()[0])),
		Certificates: map[string]string{vectorPlatformSerial: publicPEM(t, vectorPlatformPublic)},
		Paths:        []string{vectorPath},
	}
}

func vectorSigner(t *testing.T) *Signer {
	t.Helper()
	signer, err := NewSigner(vectorSigning(t))
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// TestSigningRequestVector: the sample's plaintext encrypts to its body, whose signature
// verifies; one bit changed anywhere, and it does not.
func TestSigningRequestVector(t *testing.T) {
	s := vectorSigner(t)
	iv, err := base64.StdEncoding.DecodeString(vectorIV)
	if err != nil {
		t.Fatal(err)
	}
	body, err := s.seal(vectorPath, vectorRequest, iv, []byte(vectorPlain))
	if err != nil || string(body) != vectorBody {
		t.Errorf("encrypted: %s, %v", body, err)
	}
	if plain, err := s.unseal(vectorPath, vectorRequest, body); err != nil || string(plain) != vectorPlain {
		t.Errorf("decrypted: %s, %v", plain, err)
	}
	if sum := sha256.Sum256(s.payload(vectorPath, vectorRequest, body)); hex.EncodeToString(sum[:]) != vectorSum {
		t.Errorf("the hash is %x", sum)
	}
	key, _, err := parseCertificate(publicPEM(t, vectorAppPublic))
	if err != nil {
		t.Fatal(err)
	}
	if !s.verify(key, vectorPath, vectorRequest, body, vectorSignature) {
		t.Error("the sample's signature is refused")
	}
	own, err := s.sign(vectorPath, vectorRequest, body)
	if err != nil || !s.verify(&s.key.PublicKey, vectorPath, vectorRequest, body, own) {
		t.Errorf("our own signature is refused: %v", err)
	}
	changed := []byte(vectorBody)
	changed[100] ^= 1
	other := *s
	other.appID = "wxba6223c06417af7c"
	for name, verified := range map[string]bool{
		"body": s.verify(key, vectorPath, vectorRequest, changed, vectorSignature), "path": s.verify(key, vectorPath+"s", vectorRequest, body, vectorSignature),
		"timestamp": s.verify(key, vectorPath, vectorRequest+1, body, vectorSignature), "appid": other.verify(key, vectorPath, vectorRequest, body, vectorSignature),
		"signature": s.verify(key, vectorPath, vectorRequest, body, "x"+vectorSignature[1:]), "key": s.verify(&s.key.PublicKey, vectorPath, vectorRequest, body, vectorSignature),
	} {
		if verified {
			t.Errorf("another %s is verified", name)
		}
	}
	for name, open := range map[string]func() ([]byte, error){
		"body":      func() ([]byte, error) { return s.unseal(vectorPath, vectorRequest, changed) },
		"path":      func() ([]byte, error) { return s.unseal(vectorPath+"s", vectorRequest, body) },
		"timestamp": func() ([]byte, error) { return s.unseal(vectorPath, vectorRequest+1, body) },
		"appid":     func() ([]byte, error) { return other.unseal(vectorPath, vectorRequest, body) },
		"tag": func() ([]byte, error) {
			return s.unseal(vectorPath, vectorRequest, []byte(strings.Replace(vectorBody, "5qeM", "5qeN", 1)))
		},
	} {
		if plain, err := open(); err == nil {
			t.Errorf("another %s decrypts to %s", name, plain)
		}
	}
}

// vectorHeader is the header of the sample's answer.
func vectorHeader() http.Header {
	return http.Header{
		appIDHeader: {vectorAppID}, timestampHeader: {strconv.Itoa(vectorAnswer)}, serialHeader: {vectorPlatformSerial},
		signatureHeader: {vectorAnswerSignature}, "Wechatmp-Serial-Deprecated": {"2171af9cdf1d7404423852e7e183d852"},
	}
}

// TestSigningAnswerVector: the sample's answer opens at its time; each bit changed in it, and
// it does not.
func TestSigningAnswerVector(t *testing.T) {
	s := vectorSigner(t)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(vectorAnswer+1, 0)))
		if plain, reason := s.open(vectorPath, vectorHeader(), []byte(vectorAnswerBody)); string(plain) != vectorAnswerPlain {
			t.Fatalf("%s, %s", plain, reason)
		}
		for i := range vectorAnswerBody {
			changed := []byte(vectorAnswerBody)
			changed[i] ^= 1
			if plain, reason := s.open(vectorPath, vectorHeader(), changed); reason == "" {
				t.Errorf("with byte %d changed: %s", i, plain)
			}
		}
		for name, row := range map[string]struct{ value, want string }{
			appIDHeader:     {"wxba6223c06417af7c", "another AppID"},
			timestampHeader: {strconv.Itoa(vectorAnswer + 1), "signature is wrong"},
			serialHeader:    {"89ba700ea147819f640941bceb38b1d1", "not among Signing.Certificates"},
			signatureHeader: {"I" + vectorAnswerSignature[1:], "signature is wrong"},
		} {
			header := vectorHeader()
			header.Set(name, row.value)
			if plain, reason := s.open(vectorPath, header, []byte(vectorAnswerBody)); !strings.Contains(reason, row.want) || plain != nil {
				t.Errorf("%s changed: %q", name, reason)
			}
		}
		if _, reason := s.open(vectorPath+"s", vectorHeader(), []byte(vectorAnswerBody)); !strings.Contains(reason, "signature is wrong") {
			t.Errorf("another path: %q", reason)
		}
		header := vectorHeader() // during a change of the certificate
		header.Set("Wechatmp-Serial-Deprecated", vectorPlatformSerial)
		header.Set("Wechatmp-Signature-Deprecated", vectorAnswerSignature)
		header.Set(serialHeader, "00ba700ea147819f640941bceb38b1d1")
		if plain, reason := s.open(vectorPath, header, []byte(vectorAnswerBody)); string(plain) != vectorAnswerPlain {
			t.Errorf("with the certificate before: %s", reason)
		}
		time.Sleep(5 * time.Minute)
		if _, reason := s.open(vectorPath, vectorHeader(), []byte(vectorAnswerBody)); !strings.Contains(reason, "5 minutes old") {
			t.Errorf("5 minutes later: %q", reason)
		}
	})
}

// eachBit calls try with each text that differs from text in one bit.
func eachBit(text string, try func(changed string)) {
	for i := range len(text) * 8 {
		b := []byte(text)
		b[i/8] ^= 1 << (i % 8)
		try(string(b))
	}
}

// TestSigningEveryBit: the samples with any single bit changed, in body, header or path, are
// refused, also where base64 has bits that decode to nothing.
func TestSigningEveryBit(t *testing.T) {
	tier.Unraced(t)
	s := vectorSigner(t)
	key, _, err := parseCertificate(publicPEM(t, vectorAppPublic))
	if err != nil {
		t.Fatal(err)
	}
	request := func(what, path, timestamp, body, signature string) {
		at, err := strconv.ParseInt(timestamp, 10, 64)
		if err == nil && s.verify(key, path, at, []byte(body), signature) {
			t.Errorf("a request with a bit of its %s changed is verified", what)
		}
	}
	at := strconv.Itoa(vectorRequest)
	eachBit(vectorPath, func(changed string) { request("path", changed, at, vectorBody, vectorSignature) })
	eachBit(at, func(changed string) { request("timestamp", vectorPath, changed, vectorBody, vectorSignature) })
	eachBit(vectorBody, func(changed string) { request("body", vectorPath, at, changed, vectorSignature) })
	eachBit(vectorSignature, func(changed string) { request("signature", vectorPath, at, vectorBody, changed) })
	for _, changed := range []string{vectorSignature + "\n", "\r\n" + vectorSignature, vectorSignature + "="} {
		request("signature", vectorPath, at, vectorBody, changed)
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(vectorAnswer+1, 0)))
		answer := func(what, path, body string, header http.Header) {
			if plain, reason := s.open(path, header, []byte(body)); reason == "" || plain != nil {
				t.Errorf("an answer with a bit of its %s changed is opened: %s", what, plain)
			}
		}
		eachBit(vectorPath, func(changed string) { answer("path", changed, vectorAnswerBody, vectorHeader()) })
		eachBit(vectorAnswerBody, func(changed string) { answer("body", vectorPath, changed, vectorHeader()) })
		for _, name := range []string{appIDHeader, timestampHeader, serialHeader, signatureHeader} {
			eachBit(vectorHeader().Get(name), func(changed string) {
				header := vectorHeader()
				header.Set(name, changed)
				answer(name, vectorPath, vectorAnswerBody, header)
			})
		}
		if plain, reason := s.open(vectorPath, vectorHeader(), []byte(vectorAnswerBody)); string(plain) != vectorAnswerPlain {
			t.Errorf("unchanged: %s, %s", plain, reason)
		}
	})
}

// TestNewSigner names the field that is wrong, and refuses SM2 and SM4 in words.
func TestNewSigner(t *testing.T) {
	sm2 := append([]byte{0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01}, sm2Curve...)
	for _, row := range []struct {
		change func(*Signing)
		want   string
	}{
		{func(s *Signing) { s.AppID = "" }, "Signing.AppID"},
		{func(s *Signing) { s.SymmetricSerial = "" }, "Signing.SymmetricSerial"},
		{func(s *Signing) { s.SymmetricKey = custody.NewSecret("secret-and-wrong") }, "Signing.SymmetricKey is not base64 of 32"},
		{func(s *Signing) { s.SymmetricKey = custody.NewSecret("HyVFkGl5F5OQWJZZaNzBBg==") }, "SM4, which is not supported: choose AES256_GCM"},
		{func(s *Signing) { s.PrivateKey = custody.NewSecret("secret-and-wrong") }, "Signing.PrivateKey is not PEM"},
		{func(s *Signing) {
			s.PrivateKey = custody.NewSecret(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: sm2})))
		}, "SM2, which is not supported: choose RSAwithSHA256"},
		{func(s *Signing) { s.PrivateKey = custody.NewSecret(publicPEM(t, vectorAppPublic)) }, "Signing.PrivateKey is no RSA key"},
		{func(s *Signing) { s.Certificates = nil }, "Signing.Certificates is empty"},
		{func(s *Signing) { s.Certificates = map[string]string{"x": "y"} }, `Signing.Certificates["x"] is not PEM`},
		{func(s *Signing) {
			s.Certificates = map[string]string{"x": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sm2}))}
		}, "SM2"},
		{func(s *Signing) { s.Paths = []string{"wxa/x"} }, "Signing.Paths"},
		{func(s *Signing) { s.Paths = []string{"/wxa/*"} }, "Signing.Paths"},
	} {
		signing := vectorSigning(t)
		row.change(&signing)
		_, err := NewSigner(signing)
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "secret-and-wrong") {
			t.Errorf("want %s: %v", row.want, err)
		}
	}
	signing := vectorSigning(t)
	der, err := x509.MarshalPKCS8PrivateKey(rsaKeys()[0])
	if err != nil {
		t.Fatal(err)
	}
	signing.PrivateKey = custody.NewSecret(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	if _, err := NewSigner(signing); err != nil {
		t.Errorf("PKCS #8: %v", err)
	}
}

// peer is WeChat's side of signed calls, with keys of its own.
type peer struct {
	*Signer

	t      *testing.T
	seen   []map[string]any
	bodies []string
	query  string
	answer string
	refuse int // the next so many calls are refused with 40001, unsigned
	spoil  func(*http.Response, *string)
}

// newPeer returns WeChat and the Signer that it knows.
func newPeer(t *testing.T) (*peer, *Signer) {
	t.Helper()
	app, wechat := rsaKeys()[0], rsaKeys()[1]
	public := func(key *rsa.PrivateKey) string {
		der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		return publicPEM(t, encode(der))
	}
	signing := vectorSigning(t)
	signing.PrivateKey, signing.Certificates = custody.NewSecret(privatePEM(t, app)), map[string]string{"2": public(wechat)}
	client, err := NewSigner(signing)
	if err != nil {
		t.Fatal(err)
	}
	signing.PrivateKey, signing.Certificates = custody.NewSecret(privatePEM(t, wechat)), map[string]string{"1": public(app)}
	server, err := NewSigner(signing)
	if err != nil {
		t.Fatal(err)
	}
	return &peer{Signer: server, t: t, answer: `{"errcode":0,"errmsg":"ok","risk_rank":0}`}, client
}

// RoundTrip checks a signed request and answers it signed.
func (p *peer) RoundTrip(req *http.Request) (*http.Response, error) {
	var body strings.Builder
	if req.Body != nil {
		if _, err := io.Copy(&body, req.Body); err != nil {
			return nil, err
		}
	}
	p.query = req.URL.RawQuery
	p.bodies = append(p.bodies, body.String())
	header := http.Header{}
	answer := p.answer
	if req.URL.Path == vectorPath && req.Header.Get("X-Own") == "" {
		timestamp, err := strconv.ParseInt(req.Header.Get("Wechatmp-TimeStamp"), 10, 64)
		if err != nil || !p.verify(p.certificates["1"], vectorPath, timestamp, []byte(body.String()), req.Header.Get("Wechatmp-Signature")) ||
			req.Header.Get("Wechatmp-Appid") != vectorAppID || req.ContentLength != int64(body.Len()) {
			p.t.Errorf("the request is not signed well: %v %v", req.Header, err)
		}
		plain, err := p.unseal(vectorPath, timestamp, []byte(body.String()))
		var fields map[string]any
		if err == nil {
			err = json.Unmarshal(plain, &fields)
		}
		if err != nil || fields["_appid"] != vectorAppID || fields["_timestamp"] != float64(timestamp) || len(fields["_n"].(string)) < 20 {
			p.t.Errorf("the request is not encrypted well: %s, %v", plain, err)
		}
		p.seen = append(p.seen, fields)
		inner := strings.Replace(answer, "{", `{"_n":"x","_appid":"`+vectorAppID+`","_timestamp":`+strconv.FormatInt(timestamp, 10)+`,`, 1)
		iv := make([]byte, gcmNonceBytes)
		sealed, err := p.seal(vectorPath, timestamp, iv, []byte(inner))
		if err != nil {
			return nil, err
		}
		signature, err := p.sign(vectorPath, timestamp, sealed)
		if err != nil {
			return nil, err
		}
		answer = string(sealed)
		header = http.Header{
			appIDHeader: {vectorAppID}, timestampHeader: {strconv.FormatInt(timestamp, 10)}, serialHeader: {"2"}, signatureHeader: {signature},
		}
	}
	if p.refuse > 0 {
		p.refuse--
		header, answer = http.Header{}, `{"errcode":40001,"errmsg":"invalid credential"}`
	}
	resp := &http.Response{StatusCode: http.StatusOK, Header: header, Request: req}
	if p.spoil != nil {
		p.spoil(resp, &answer)
	}
	resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(answer)), int64(len(answer))
	return resp, nil
}

// TestSignedCalls: a call to a configured path is signed, encrypted, verified and decrypted,
// wherever its base is; others are not touched.
func TestSignedCalls(t *testing.T) {
	for _, base := range []string{"", "http://127.0.0.1:8300/gateway"} {
		wechat, signer := newPeer(t)
		wechat.spoil = func(resp *http.Response, _ *string) {
			if !strings.Contains(resp.Request.URL.RawQuery, "access_token=") {
				t.Errorf("the query is %s", resp.Request.URL.RawQuery)
			}
		}
		trip := roundTrip(func(req *http.Request) (*http.Response, error) {
			clone := req.Clone(req.Context())
			clone.URL.Path = strings.TrimPrefix(clone.URL.Path, "/gateway")
			return wechat.RoundTrip(clone)
		})
		client := newAPI(t, Config{Base: base, Transport: trip}).Client(newFakeTokens(t), vectorAppID).WithSigner(signer)
		var out struct {
			Risk *int `json:"risk_rank"`
		}
		body := map[string]any{"openid": "o", "id": json.Number("2258658297123456789"), "text": "<&>你好"}
		if err := client.Post(t.Context(), vectorPath+"?scene=1", body, &out); err != nil || out.Risk == nil {
			t.Fatalf("%s: %v", base, err)
		}
		if got := wechat.seen[0]; got["openid"] != "o" || got["scene"] != "1" || got["text"] != "<&>你好" || len(got) != 7 {
			t.Errorf("%s: WeChat saw %v", base, got)
		}
		if strings.Contains(wechat.query, "scene") || strings.Contains(wechat.bodies[0], "openid") {
			t.Errorf("%s: in the clear: %s %s", base, wechat.query, wechat.bodies[0])
		}
		if err := client.Post(t.Context(), vectorPath, nil, nil); err != nil {
			t.Errorf("%s: an empty object: %v", base, err)
		}
		if err := client.Post(t.Context(), "/wxa/other", map[string]string{"a": "b"}, nil); err != nil || wechat.bodies[2] != `{"a":"b"}` {
			t.Errorf("%s: another path: %v, %v", base, wechat.bodies, err)
		}
	}
}

// roundTrip is a transport of one function.
type roundTrip func(*http.Request) (*http.Response, error)

func (r roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

// TestSignedCallsRecover: a refused token is replaced, and the call signed anew.
func TestSignedCallsRecover(t *testing.T) {
	wechat, signer := newPeer(t)
	wechat.refuse = 1
	tokens := newFakeTokens(t)
	client := newAPI(t, Config{Transport: wechat}).Client(tokens, vectorAppID).WithSigner(signer)
	if err := client.Post(t.Context(), vectorPath, map[string]string{"openid": "o"}, nil); err != nil {
		t.Fatal(err)
	}
	if len(tokens.rejected()) != 1 || len(wechat.seen) != 2 || wechat.seen[0]["_n"] == wechat.seen[1]["_n"] || wechat.bodies[0] == wechat.bodies[1] {
		t.Errorf("%v, %v", tokens.rejected(), wechat.seen)
	}
}

// TestSignedAnswersThatAreNotTrusted: whatever was changed on the way, the answer is an error
// that says so, and nothing of it is decoded.
func TestSignedAnswersThatAreNotTrusted(t *testing.T) {
	for name, row := range map[string]struct {
		spoil func(*http.Response, *string)
		want  string
	}{
		"one bit of the body": {func(_ *http.Response, body *string) { *body = strings.Replace(*body, `"data":"`, `"data":"A`, 1) }, "signature is wrong"},
		"another answer":      {func(_ *http.Response, body *string) { *body = vectorAnswerBody }, "signature is wrong"},
		"no signature":        {func(resp *http.Response, body *string) { resp.Header, *body = http.Header{}, `{"risk_rank":4}` }, "it is not signed"},
		"errcode 0, unsigned": {func(resp *http.Response, body *string) {
			resp.Header, *body = http.Header{}, `{"errcode":0,"risk_rank":4}`
		}, "it is not signed"},
		"HTML":     {func(resp *http.Response, body *string) { resp.Header, *body = http.Header{}, "<html>" }, "it is not signed"},
		"no time":  {func(resp *http.Response, _ *string) { resp.Header.Set(timestampHeader, "x") }, "is no time"},
		"later":    {func(resp *http.Response, _ *string) { resp.Header.Set(timestampHeader, "1635927956") }, "5 minutes old"},
		"a serial": {func(resp *http.Response, _ *string) { resp.Header.Set(serialHeader, "3") }, "not among Signing.Certificates"},
		"an appid": {func(resp *http.Response, _ *string) { resp.Header.Set(appIDHeader, "wx") }, "another AppID"},
	} {
		wechat, signer := newPeer(t)
		wechat.spoil = row.spoil
		client := newAPI(t, Config{Transport: wechat}).Client(newFakeTokens(t), vectorAppID).WithSigner(signer)
		out := map[string]any{}
		err := client.Post(t.Context(), vectorPath, nil, &out)
		var refused *SignatureError
		if !errors.As(err, &refused) || !refused.Sent || !strings.Contains(err.Error(), row.want) || len(out) > 0 || refused.Path != vectorPath {
			t.Errorf("%s: %v, %v", name, out, err)
		}
	}
	wechat, signer := newPeer(t)
	wechat.spoil = func(resp *http.Response, body *string) {
		resp.Header, *body = http.Header{}, `{"errcode":40234,"errmsg":"API_Invalid_Signature"}`
	}
	var refusal *Error
	err := newAPI(t, Config{Transport: wechat}).Client(newFakeTokens(t), vectorAppID).WithSigner(signer).Post(t.Context(), vectorPath, nil, nil)
	if !errors.As(err, &refusal) || refusal.Code != 40234 {
		t.Errorf("a refusal: %v", err)
	}
}

// TestRequestsThatCannotBeSigned are not sent.
func TestRequestsThatCannotBeSigned(t *testing.T) {
	wechat, signer := newPeer(t)
	client := newAPI(t, Config{Transport: wechat}).Client(newFakeTokens(t), vectorAppID).WithSigner(signer)
	for name, call := range map[string]func() error{
		"GET":          func() error { return client.Get(t.Context(), vectorPath, nil, nil) },
		"a list":       func() error { return client.Post(t.Context(), vectorPath, []int{1}, nil) },
		"null":         func() error { return client.Post(t.Context(), vectorPath, json.RawMessage("null"), nil) },
		"_n":           func() error { return client.Post(t.Context(), vectorPath, map[string]string{"_n": "x"}, nil) },
		"_appid":       func() error { return client.Post(t.Context(), vectorPath+"?_appid=x", nil, nil) },
		"both":         func() error { return client.Post(t.Context(), vectorPath+"?a=1", map[string]string{"a": "x"}, nil) },
		"twice":        func() error { return client.Post(t.Context(), vectorPath+"?a=1&a=2", nil, nil) },
		"broken query": func() error { return client.Post(t.Context(), vectorPath+"?a=%zz", nil, nil) },
	} {
		var refused *SignatureError
		if err := call(); !errors.As(err, &refused) || refused.Sent || !strings.Contains(err.Error(), "was not sent") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(wechat.bodies) > 0 {
		t.Errorf("WeChat got %q", wechat.bodies)
	}
}

// TestOwnSignature: what a program has signed by itself passes untouched, and so does its
// answer.
func TestOwnSignature(t *testing.T) {
	wechat, signer := newPeer(t)
	wechat.answer = `{"iv":"","data":"","authtag":""}`
	client := newAPI(t, Config{Transport: wechat}).Client(newFakeTokens(t), vectorAppID).WithSigner(signer).HTTPClient()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, DefaultBase+vectorPath+"?x=1", strings.NewReader(vectorBody))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Wechatmp-Signature", vectorSignature)
	req.Header.Set("X-Own", "1")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != wechat.answer || wechat.bodies[0] != vectorBody || !strings.HasPrefix(wechat.query, "x=1&") {
		t.Errorf("%s, %v; WeChat got %q", body, err, wechat.bodies)
	}
}
