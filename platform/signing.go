package platform

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
)

// Signing are an account's keys for signed and encrypted API calls (服务端 API 签名加密), as
// the console shows them where they are switched on (开发管理, API 安全). The algorithms are
// AES256_GCM and RSAwithSHA256: choose these in the console, as SM4_GCM and SM2withSM3 are
// not supported.
type Signing struct {
	AppID string // must be that of the account, as it is part of what is signed

	// SymmetricSerial and SymmetricKey are the number and the key of the symmetric key: the key
	// is 32 bytes in base64.
	SymmetricSerial string
	SymmetricKey    custody.Secret

	// PrivateKey is the application's RSA key in PEM, whose public half is in the console.
	PrivateKey custody.Secret

	// Certificates are WeChat's (开放平台证书), by their number in the console, which is not the
	// serial number inside: each a certificate or a public key in PEM. During a change there
	// are two.
	Certificates map[string]string

	// Paths are the APIs to which this applies, such as "/wxa/getuserriskrank". Only those
	// whose documentation says so take it.
	Paths []string
}

const (
	signatureHeader = "Wechatmp-Signature"
	timestampHeader = "Wechatmp-Timestamp" // WeChat writes TimeStamp; headers know no case
	appIDHeader     = "Wechatmp-Appid"
	serialHeader    = "Wechatmp-Serial"

	maxSignedAge  = 300 * time.Second // WeChat's sample code refuses an older answer
	maxSigned     = 8 << 20           // bytes of an answer, as maxAnswer
	gcmNonceBytes = 12                // as Go's and WeChat's GCM have it
)

// SignatureError is an answer of a signed API that is not to be trusted, or a request that
// cannot be signed. It quotes nothing of either.
type SignatureError struct {
	Path   string // the API
	AppID  string // the account
	Reason string // what is wrong
	Sent   bool   // whether WeChat has got the request, and may have done what it asks for
}

// Error says what is wrong and what to do.
func (e *SignatureError) Error() string {
	if e.Sent {
		return fmt.Sprintf("the answer to %s for %s is not used: %s. WeChat may have done what the request asks for", e.Path, e.AppID, e.Reason)
	}
	return fmt.Sprintf("the request to %s for %s was not sent: %s", e.Path, e.AppID, e.Reason)
}

// Signer signs and encrypts requests and opens answers. It is safe for concurrent use.
type Signer struct {
	appID        string
	serial       string
	aead         cipher.AEAD
	key          *rsa.PrivateKey
	certificates map[string]*rsa.PublicKey
	paths        []string
	expires      time.Time
}

// NewSigner checks the keys. Its errors name the field and quote no key.
func NewSigner(s Signing) (*Signer, error) {
	signer := &Signer{appID: s.AppID, serial: s.SymmetricSerial, certificates: map[string]*rsa.PublicKey{}, paths: slices.Clone(s.Paths)}
	switch {
	case s.AppID == "":
		return nil, named.Errorf("platform", "Signing.AppID is empty")
	case s.SymmetricSerial == "":
		return nil, named.Errorf("platform", "Signing.SymmetricSerial is empty: it is the number that the console shows with the symmetric key")
	case len(s.Certificates) == 0:
		return nil, named.Errorf("platform", "Signing.Certificates is empty: download WeChat's certificate from the console")
	}
	for _, path := range s.Paths {
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#* ") {
			return nil, named.Errorf("platform", "Signing.Paths has %q: it must be the path of an API, such as /wxa/getuserriskrank", path)
		}
	}
	var err error
	if signer.aead, err = symmetric(s.SymmetricKey); err != nil {
		return nil, named.Errorf("platform", "Signing.SymmetricKey %w", err)
	}
	if signer.key, err = parsePrivateKey(s.PrivateKey.Reveal()); err != nil {
		return nil, named.Errorf("platform", "Signing.PrivateKey %w", err)
	}
	for serial, text := range s.Certificates {
		key, expires, err := parseCertificate(text)
		if err != nil {
			return nil, named.Errorf("platform", "Signing.Certificates[%q] %w", serial, err)
		}
		signer.certificates[serial] = key
		if signer.expires.IsZero() || !expires.IsZero() && expires.After(signer.expires) {
			signer.expires = expires
		}
	}
	return signer, nil
}

// Expires returns when the last of WeChat's certificates expires; zero when they are bare
// keys. No API brings the next one: a person downloads it.
func (s *Signer) Expires() time.Time { return s.expires }

func symmetric(secret custody.Secret) (cipher.AEAD, error) {
	key, err := base64.StdEncoding.DecodeString(secret.Reveal())
	switch {
	case err == nil && len(key) == 16:
		return nil, errors.New("has 16 bytes, so that it is one for SM4, which is not supported: choose AES256_GCM in the console")
	case err != nil || len(key) != 32:
		return nil, errors.New("is not base64 of 32 bytes")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// sm2Curve is the object identifier of SM2's curve, 1.2.156.10197.1.301, in DER.
var sm2Curve = []byte{0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d}

var errSM2 = errors.New("is one for SM2, which is not supported: choose RSAwithSHA256 in the console")

func parsePrivateKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("is not PEM: it begins with -----BEGIN PRIVATE KEY-----")
	}
	if bytes.Contains(block.Bytes, sm2Curve) {
		return nil, errSM2
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, isRSA := parsed.(*rsa.PrivateKey)
	if err != nil || !isRSA {
		return nil, errors.New("is no RSA key in PEM")
	}
	return key, nil
}

func parseCertificate(text string) (*rsa.PublicKey, time.Time, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, time.Time{}, errors.New("is not PEM: it begins with -----BEGIN CERTIFICATE-----")
	}
	if bytes.Contains(block.Bytes, sm2Curve) {
		return nil, time.Time{}, errSM2
	}
	var parsed any
	var expires time.Time
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err == nil {
		parsed, expires = certificate.PublicKey, certificate.NotAfter
	} else if parsed, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		return nil, time.Time{}, errors.New("is neither a certificate nor a public key")
	}
	key, isRSA := parsed.(*rsa.PublicKey)
	if !isRSA {
		return nil, time.Time{}, errors.New("is not for RSA: choose RSAwithSHA256 in the console")
	}
	return key, expires, nil
}

// signs reports whether a request for a path of WeChat's is to be signed. One that its
// program has signed is not.
func (s *Signer) signs(req *http.Request, path string) bool {
	return req.Header.Get(signatureHeader) == "" && slices.Contains(s.paths, path)
}

// envelope is an encrypted body. WeChat writes all three in standard base64.
type envelope struct {
	IV   string `json:"iv"`
	Data string `json:"data"`
	Tag  string `json:"authtag"`
}

// urlPath is what is signed: WeChat's own address of an API, whatever the base.
func urlPath(path string) string { return DefaultBase + path }

func (s *Signer) additional(path string, timestamp int64) []byte {
	return fmt.Appendf(nil, "%s|%s|%d|%s", urlPath(path), s.appID, timestamp, s.serial)
}

func (s *Signer) payload(path string, timestamp int64, body []byte) []byte {
	return append(fmt.Appendf(nil, "%s\n%s\n%d\n", urlPath(path), s.appID, timestamp), body...)
}

// seal encrypts the JSON plain.
func (s *Signer) seal(path string, timestamp int64, iv, plain []byte) ([]byte, error) {
	sealed := s.aead.Seal(nil, iv, plain, s.additional(path, timestamp))
	tag := len(sealed) - s.aead.Overhead()
	return json.Marshal(envelope{encode(iv), encode(sealed[:tag]), encode(sealed[tag:])})
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// decode reads base64 that is written as encode writes it: of a signature, too, no bit may
// differ.
func decode(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err == nil && encode(raw) != text { // with a line end in it
		err = base64.CorruptInputError(0)
	}
	return raw, err
}

// unseal decrypts a body.
func (s *Signer) unseal(path string, timestamp int64, body []byte) ([]byte, error) {
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, err
	}
	iv, errIV := decode(e.IV)
	data, errData := decode(e.Data)
	tag, errTag := decode(e.Tag)
	if err := errors.Join(errIV, errData, errTag); err != nil {
		return nil, err
	}
	if len(iv) != gcmNonceBytes || len(tag) != s.aead.Overhead() {
		return nil, errors.New("iv or authtag has a wrong length")
	}
	return s.aead.Open(nil, iv, append(data, tag...), s.additional(path, timestamp))
}

// pss are WeChat's parameters: MGF1 with SHA-256, and a salt of 32 bytes.
var pss = &rsa.PSSOptions{SaltLength: sha256.Size, Hash: crypto.SHA256}

func (s *Signer) sign(path string, timestamp int64, body []byte) (string, error) {
	sum := sha256.Sum256(s.payload(path, timestamp, body))
	signature, err := rsa.SignPSS(rand.Reader, s.key, crypto.SHA256, sum[:], pss)
	return encode(signature), err
}

func (s *Signer) verify(key *rsa.PublicKey, path string, timestamp int64, body []byte, signature string) bool {
	raw, err := decode(signature)
	sum := sha256.Sum256(s.payload(path, timestamp, body))
	return err == nil && rsa.VerifyPSS(key, crypto.SHA256, sum[:], raw, pss) == nil
}

// request signs and encrypts req, whose body is body, in place. The query moves into the
// body, except for the token.
// WeChat: 服务端 API 签名指南.
func (s *Signer) request(req *http.Request, path string, body []byte) error {
	failed := func(reason string) error { return &SignatureError{Path: path, AppID: s.appID, Reason: reason} }
	if req.Method != http.MethodPost {
		return failed("signed APIs are called by POST, with a JSON object")
	}
	timestamp := time.Now().Unix()
	plain, reason := s.plaintext(req, body, timestamp)
	if reason != "" {
		return failed(reason)
	}
	iv := make([]byte, gcmNonceBytes)
	_, _ = rand.Read(iv) // never fails, by its documentation
	sealed, err := s.seal(path, timestamp, iv, plain)
	if err != nil {
		return failed("it cannot be encrypted")
	}
	signature, err := s.sign(path, timestamp, sealed)
	if err != nil {
		return failed("the private key does not sign: " + err.Error())
	}
	req.Header.Set(appIDHeader, s.appID)
	req.Header.Set(timestampHeader, strconv.FormatInt(timestamp, 10))
	req.Header.Set(signatureHeader, signature)
	req.Header.Set("Content-Type", "application/json")
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(sealed)), int64(len(sealed))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(sealed)), nil }
	token := ""
	for pair := range strings.SplitSeq(req.URL.RawQuery, "&") {
		if carriesToken(pair) {
			token = pair
		}
	}
	req.URL.RawQuery = token
	return nil
}

// plaintext is the object of a body with what WeChat wants in it, or the reason why there is
// none.
func (s *Signer) plaintext(req *http.Request, body []byte, timestamp int64) (plain []byte, reason string) {
	body = bytes.TrimSpace(body)
	var given map[string]json.RawMessage
	if len(body) == 0 {
		body = []byte("{}")
	}
	if err := json.Unmarshal(body, &given); err != nil || given == nil {
		return nil, "its body is not a JSON object, and only these are encrypted"
	}
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // likewise
	appID, err := json.Marshal(s.appID)
	if err != nil {
		return nil, "the AppID has no JSON"
	}
	plain = fmt.Appendf(nil, `{"_n":"%s","_appid":%s,"_timestamp":%d`, strings.TrimRight(encode(nonce), "="), appID, timestamp)
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return nil, "its query cannot be read"
	}
	for _, name := range []string{"_n", "_appid", "_timestamp"} {
		if _, there := given[name]; there || query.Has(name) {
			return nil, "it has a field " + name + ", which the signature needs for itself"
		}
	}
	for name, values := range query {
		if _, there := given[name]; there || len(values) > 1 {
			return nil, "a parameter appears twice, in the query or the body: " + shorten(clean(name, nil), 64)
		}
		if name == tokenParameter {
			continue
		}
		pair, err := encodeJSON(map[string]string{name: values[0]})
		if err != nil {
			return nil, "a parameter of its query has no JSON"
		}
		plain = append(append(plain, ','), pair[1:len(pair)-1]...)
	}
	if len(given) > 0 {
		plain = append(append(plain, ','), bytes.TrimSpace(body[1:len(body)-1])...)
	}
	return append(plain, '}'), ""
}

// answer verifies and decrypts an answer, in place. A refusal that is not signed is let
// through: nothing is lost when somebody forges one but the call.
func (s *Signer) answer(path string, resp *http.Response) error {
	failed := func(reason string) error {
		return &SignatureError{Path: path, AppID: s.appID, Reason: reason, Sent: true}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSigned+1))
	closeBody(resp.Body)
	switch {
	case err != nil:
		return err
	case len(body) > maxSigned:
		return failed("it is too long to be verified")
	}
	if resp.Header.Get(signatureHeader) != "" {
		var reason string
		if body, reason = s.open(path, resp.Header, body); reason != "" {
			return failed(reason)
		}
	} else if !refuses(body) {
		return failed("it is not signed")
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// open returns the plaintext of a signed answer, or the reason why it is not to be trusted.
func (s *Signer) open(path string, header http.Header, body []byte) (plain []byte, reason string) {
	timestamp, err := strconv.ParseInt(header.Get(timestampHeader), 10, 64)
	switch age := time.Since(time.Unix(timestamp, 0)); {
	case err != nil:
		return nil, "its " + timestampHeader + " is no time"
	case age > maxSignedAge || age < -maxSignedAge:
		return nil, "it is more than 5 minutes old, or this machine's clock is wrong"
	case header.Get(appIDHeader) != s.appID:
		return nil, "it is signed for another AppID"
	}
	verified, known := false, false
	for _, suffix := range []string{"", "-Deprecated"} {
		if key := s.certificates[header.Get(serialHeader+suffix)]; key != nil {
			known = true
			verified = verified || s.verify(key, path, timestamp, body, header.Get(signatureHeader+suffix))
		}
	}
	switch {
	case !known:
		return nil, "it is signed with the certificate " + shorten(clean(header.Get(serialHeader), nil), 64) +
			", which is not among Signing.Certificates: download it from the console"
	case !verified:
		return nil, "its signature is wrong"
	}
	if plain, err = s.unseal(path, timestamp, body); err != nil {
		return nil, "it does not decrypt: the symmetric key or its number differs from the console's"
	}
	var inner struct {
		AppID     string `json:"_appid"`
		Timestamp int64  `json:"_timestamp"`
	}
	if err := json.Unmarshal(plain, &inner); err != nil || inner.AppID != s.appID || inner.Timestamp != timestamp {
		return nil, "what is encrypted in it is another account's or another time's"
	}
	return plain, ""
}

// refuses reports whether a body is an errcode of WeChat's.
func refuses(body []byte) bool {
	f, isObject := readFields(spaced(body))
	if !isObject {
		return false
	}
	code, err := f.errcode()
	return err == nil && code != 0
}
