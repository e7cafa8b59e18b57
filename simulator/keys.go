package simulator

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
)

// Signing are the keys of an account's signed and encrypted API calls (服务端 API 签名加密) as
// the console has them: AES256_GCM and RSAwithSHA256. Set Account.Signing to test an app that
// signs.
type Signing struct {
	SymmetricSerial string `json:"symmetric_serial"` // the key's number, which each call names
	SymmetricKey    string `json:"symmetric_key"`    // base64 of 32 bytes

	// PublicKey is the app's, in PEM: calls are verified with it.
	PublicKey string `json:"public_key"`

	// Serial and PrivateKey, in PEM, are those of WeChat's certificate: answers are signed with it.
	Serial     string `json:"serial"`
	PrivateKey string `json:"private_key"`

	// Paths are the APIs that take signed calls only. Every API takes signed ones.
	Paths []string `json:"paths,omitempty"`

	// AppKey is the app's private key and Certificate WeChat's public key, in PEM: give them
	// to your app. MakeUpSigning fills them in, and the simulator does not need them.
	AppKey      string `json:"-"`
	Certificate string `json:"-"`
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

// MakeUpSigning makes keys up for Account.Signing and for your app, so that a test needs no
// console. Calls of paths have to be signed.
func MakeUpSigning(paths ...string) (Signing, error) {
	app, appErr := rsa.GenerateKey(rand.Reader, 2048)
	own, ownErr := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(appErr, ownErr); err != nil {
		return Signing{}, err
	}
	appPublic, appErr := x509.MarshalPKIXPublicKey(&app.PublicKey)
	ownPublic, ownErr := x509.MarshalPKIXPublicKey(&own.PublicKey)
	if err := errors.Join(appErr, ownErr); err != nil {
		return Signing{}, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, by its documentation
	inPEM := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return Signing{
		SymmetricSerial: strings.ToLower(rand.Text()), SymmetricKey: base64.StdEncoding.EncodeToString(key),
		PublicKey: inPEM("PUBLIC KEY", appPublic),
		Serial:    strings.ToLower(rand.Text()), PrivateKey: inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(own)),
		Paths:  paths,
		AppKey: inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(app)), Certificate: inPEM("PUBLIC KEY", ownPublic),
	}, nil
}

// strictly reads base64 that is written in the one way in which it can be.
func strictly(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err == nil && base64.StdEncoding.EncodeToString(raw) != text { // with a line end in it
		err = base64.CorruptInputError(0)
	}
	return raw, err
}
