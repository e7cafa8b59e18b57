package simulator

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
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
