package simulator

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
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The errcodes of signed calls, by what is wrong. WeChat: 服务端 API 签名指南.
const (
	signedTimeMissing      = 40231
	signedSignatureMissing = 40232
	signedAppIDMissing     = 40233
	signedSignatureWrong   = 40234
	signedBodyWrong        = 40235
	signedAppIDUnknown     = 40236
	signedAppIDForeign     = 40237
	signedKeyMissing       = 40238
	signedTimeWrong        = 40240

	signedPatience = 300 * time.Second // by which a call's timestamp may differ from WeChat's clock
)

// Signing are the keys of an account's signed and encrypted API calls (服务端 API 签名加密) as
// the console has them: AES256_GCM and RSAwithSHA256.
type Signing struct {
	SymmetricSerial string `json:"symmetric_serial"`
	SymmetricKey    string `json:"symmetric_key"` // base64 of 32 bytes

	// PublicKey is the app's, in PEM: calls are verified with it.
	PublicKey string `json:"public_key"`

	// Serial and PrivateKey, in PEM, are those of WeChat's certificate: answers are signed with it.
	Serial     string `json:"serial"`
	PrivateKey string `json:"private_key"`

	// Paths are the APIs that take signed calls only. Every API takes signed ones.
	Paths []string `json:"paths,omitempty"`
}

// signingKeys are those of a Signing, read.
type signingKeys struct {
	Signing

	aead cipher.AEAD
	app  *rsa.PublicKey
	own  *rsa.PrivateKey
}

var errSigningKeys = errors.New("the keys of its Signing cannot be read: SymmetricKey is base64 of 32 bytes, " +
	"PublicKey a PKIX key and PrivateKey a PKCS #1 key, both RSA in PEM")

// keys reads the keys.
func (s Signing) keys() (*signingKeys, error) {
	raw, err := base64.StdEncoding.DecodeString(s.SymmetricKey)
	public, _ := pem.Decode([]byte(s.PublicKey))
	private, _ := pem.Decode([]byte(s.PrivateKey))
	if err != nil || len(raw) != 32 || public == nil || private == nil {
		return nil, errSigningKeys
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	k := &signingKeys{Signing: s}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKIXPublicKey(public.Bytes)
	app, isRSA := parsed.(*rsa.PublicKey)
	if err != nil || !isRSA {
		return nil, errSigningKeys
	}
	k.app = app
	if k.own, err = x509.ParsePKCS1PrivateKey(private.Bytes); err != nil {
		return nil, errSigningKeys
	}
	return k, nil
}

// MadeUpSigning are keys for an account, and what its app needs of them, in PEM.
type MadeUpSigning struct {
	Signing

	AppKey      string // the app's private key
	Certificate string // WeChat's public key, by Serial
}

// MakeUpSigning makes keys up. Calls of paths have to be signed.
func MakeUpSigning(paths ...string) (MadeUpSigning, error) {
	app, appErr := rsa.GenerateKey(rand.Reader, 2048)
	own, ownErr := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(appErr, ownErr); err != nil {
		return MadeUpSigning{}, err
	}
	appPublic, appErr := x509.MarshalPKIXPublicKey(&app.PublicKey)
	ownPublic, ownErr := x509.MarshalPKIXPublicKey(&own.PublicKey)
	if err := errors.Join(appErr, ownErr); err != nil {
		return MadeUpSigning{}, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, by its documentation
	inPEM := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	s := Signing{
		SymmetricSerial: strings.ToLower(rand.Text()), SymmetricKey: base64.StdEncoding.EncodeToString(key),
		PublicKey: inPEM("PUBLIC KEY", appPublic),
		Serial:    strings.ToLower(rand.Text()), PrivateKey: inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(own)),
		Paths: paths,
	}
	return MadeUpSigning{s, inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(app)), inPEM("PUBLIC KEY", ownPublic)}, nil
}

// strictly reads base64 that is written in the one way in which it can be.
func strictly(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err == nil && base64.StdEncoding.EncodeToString(raw) != text { // with a line end in it
		err = base64.CorruptInputError(0)
	}
	return raw, err
}

// sealedBody is an encrypted body, all in standard base64.
type sealedBody struct {
	IV   string `json:"iv"`
	Data string `json:"data"`
	Tag  string `json:"authtag"`
}

// signedURL is what is signed, whatever the host by which the call came.
func signedURL(path string) string { return "https://api.weixin.qq.com" + path }

func signedSum(path, appid, timestamp string, body []byte) []byte {
	sum := sha256.Sum256(append(fmt.Appendf(nil, "%s\n%s\n%s\n", signedURL(path), appid, timestamp), body...))
	return sum[:]
}

func (k *signingKeys) additional(path, appid, timestamp string) []byte {
	return fmt.Appendf(nil, "%s|%s|%s|%s", signedURL(path), appid, timestamp, k.SymmetricSerial)
}

var signedPSS = &rsa.PSSOptions{SaltLength: sha256.Size, Hash: crypto.SHA256}

// openSigned verifies and decrypts a signed call, in place, and returns the errcode to refuse
// it with. keys are nil for a call that is neither signed nor has to be.
func (c *call) openSigned() (keys *signingKeys, errcode int) {
	if c.token == nil { // whose keys would it be?
		return nil, 0
	}
	appid := c.account.appid
	c.account.mu.Lock()
	conf := c.account.conf.Signing // which is replaced as a whole
	c.account.mu.Unlock()
	if conf != nil {
		keys, _ = conf.keys() // they were read before
	}
	path := c.req.URL.Path
	signature, timestamp := c.req.Header.Get("Wechatmp-Signature"), c.req.Header.Get("Wechatmp-Timestamp")
	switch {
	case signature == "" && (keys == nil || !slices.Contains(keys.Paths, path)):
		return nil, 0
	case keys == nil:
		return nil, signedKeyMissing
	}
	if errcode := c.checkSignedHeader(appid); errcode != 0 {
		return nil, errcode
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if age := c.sim.wall().Sub(time.Unix(seconds, 0)); err != nil || age > signedPatience || age < -signedPatience {
		return nil, signedTimeWrong
	}
	raw, err := strictly(signature)
	if err != nil || rsa.VerifyPSS(keys.app, crypto.SHA256, signedSum(path, appid, timestamp, c.body), raw, signedPSS) != nil {
		return nil, signedSignatureWrong
	}
	plain := keys.open(c.body, keys.additional(path, appid, timestamp))
	var inner struct {
		AppID     string `json:"_appid"`
		Timestamp int64  `json:"_timestamp"`
		Nonce     string `json:"_n"`
	}
	if plain == nil || json.Unmarshal(plain, &inner) != nil || inner.AppID != appid || inner.Timestamp != seconds || inner.Nonce == "" {
		return nil, signedBodyWrong
	}
	c.body = plain
	return keys, 0
}

// checkSignedHeader checks whether all is there, and of the token's account.
func (c *call) checkSignedHeader(appid string) (errcode int) {
	h := c.req.Header
	switch named := h.Get("Wechatmp-Appid"); {
	case named == "":
		return signedAppIDMissing
	case h.Get("Wechatmp-Timestamp") == "":
		return signedTimeMissing
	case h.Get("Wechatmp-Signature") == "":
		return signedSignatureMissing
	case named == appid:
		return 0
	case c.sim.accounts[named] == nil:
		return signedAppIDUnknown
	default:
		return signedAppIDForeign
	}
}

// open returns nil for what does not open.
func (k *signingKeys) open(body, additional []byte) []byte {
	var in sealedBody
	if json.Unmarshal(body, &in) != nil {
		return nil
	}
	iv, ivErr := strictly(in.IV)
	data, dataErr := strictly(in.Data)
	tag, tagErr := strictly(in.Tag)
	if errors.Join(ivErr, dataErr, tagErr) != nil || len(iv) != k.aead.NonceSize() || len(tag) != k.aead.Overhead() {
		return nil
	}
	plain, err := k.aead.Open(nil, iv, append(data, tag...), additional)
	if err != nil {
		return nil
	}
	return plain
}

// sealSigned encrypts and signs the answer to a signed call.
func (c *call) sealSigned(k *signingKeys, a answer) answer {
	body := []byte(a.body)
	if a.status != http.StatusOK || !isObject(body) {
		return a
	}
	appid, path, now := c.account.appid, c.req.URL.Path, c.sim.wall().Unix()
	timestamp := strconv.FormatInt(now, 10)
	plain := fmt.Appendf(nil, `{"_n":"%s","_appid":%s,"_timestamp":%d`, rand.Text(), quote(appid), now)
	if rest := bytes.TrimSpace(body)[1:]; len(bytes.TrimSpace(rest)) > 1 {
		plain = append(plain, ',')
		plain = append(plain, rest...)
	} else {
		plain = append(plain, '}')
	}
	iv := make([]byte, k.aead.NonceSize())
	_, _ = rand.Read(iv) // never fails, by its documentation
	sealed := k.aead.Seal(nil, iv, plain, k.additional(path, appid, timestamp))
	tag := len(sealed) - k.aead.Overhead()
	encode := base64.StdEncoding.EncodeToString
	out, err := json.Marshal(sealedBody{encode(iv), encode(sealed[:tag]), encode(sealed[tag:])})
	if err != nil {
		panic(err) // a struct of texts
	}
	signature, err := rsa.SignPSS(rand.Reader, k.own, crypto.SHA256, signedSum(path, appid, timestamp, out), signedPSS)
	if err != nil {
		panic(err) // a key that was read
	}
	a.body = string(out)
	a.signed = map[string]string{
		"Wechatmp-Appid": appid, "Wechatmp-TimeStamp": timestamp, "Wechatmp-Serial": k.Serial, "Wechatmp-Signature": encode(signature),
	}
	return a
}
