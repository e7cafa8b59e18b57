package simulator

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/zhongkong-go/zhongkong/internal/named"
)

// serveMiniLogin carries out GET /sns/jscode2session.
func serveMiniLogin(c *call) answer {
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if errcode := c.checkLogin(MiniProgram); errcode != 0 {
		return c.refuse(errcode)
	}
	value := c.query.Get("js_code")
	if value == "" {
		return c.refuse(codeMissing)
	}
	code, errcode := a.logins.takeCode(miniCode, value, c.now)
	if errcode != 0 {
		return c.refuse(errcode)
	}
	if s := a.logins.sessions[code.openid]; s != nil && s.minute.in(minute(c.now)) >= minuteMiniLogin {
		return c.refuse(minuteLimit)
	}
	s := a.logins.session(code.openid, c.now)
	s.minute.add(minute(c.now))
	further := ""
	if id := a.unionID(code.openid); id != "" {
		further = `,"unionid":` + quote(id)
	}
	return snsOK(`{"session_key":"%s","openid":%s%s}`, s.key, quote(code.openid), further)
}

// checkSignature looks for the session of a call and whether it is signed with the
// session_key. The account's mutex is held.
func (c *call) checkSignature() (*miniSession, int) {
	if c.query.Get("sig_method") != "hmac_sha256" {
		return nil, invalidSigMethod
	}
	s := c.account.logins.sessions[c.query.Get("openid")]
	if s == nil || c.now.Sub(s.made) >= sessionKeyLife {
		return nil, invalidSignature
	}
	mac := hmac.New(sha256.New, []byte(s.key)) // the base64 text, of the empty message
	if hex.EncodeToString(mac.Sum(nil)) != c.query.Get("signature") {
		return nil, invalidSignature
	}
	return s, 0
}

// serveCheckSession carries out GET /wxa/checksession.
func serveCheckSession(c *call) answer {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if _, errcode := c.checkSignature(); errcode != 0 {
		return c.refuse(errcode)
	}
	return ok(`{"errcode":0,"errmsg":"ok"}`)
}

// serveResetSession carries out GET /wxa/resetusersessionkey: another session_key, with
// the end that the old one had.
func serveResetSession(c *call) answer {
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	s, errcode := c.checkSignature()
	if errcode != 0 {
		return c.refuse(errcode)
	}
	openid, made := c.query.Get("openid"), s.made
	s = a.logins.session(openid, made)
	return ok(fmt.Sprintf(`{"errcode":0,"errmsg":"ok","openid":%s,"session_key":"%s"}`, quote(openid), s.key))
}

// servePhoneNumber carries out POST /wxa/business/getuserphonenumber.
func servePhoneNumber(c *call) answer {
	var in struct {
		Code   string `json:"code"`
		OpenID string `json:"openid"`
	}
	if !c.decode(&in) {
		return c.refuse(dataFormat)
	}
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	code, errcode := a.logins.takeCode(phoneCode, in.Code, c.now)
	switch {
	case errcode != 0:
		return c.refuse(errcode)
	case in.OpenID != "" && in.OpenID != code.openid:
		return c.refuse(invalidCode)
	}
	number := phoneNumber(code.openid)
	return ok(fmt.Sprintf(`{"errcode":0,"errmsg":"ok","phone_info":{"phoneNumber":"%[1]s","purePhoneNumber":"%[1]s","countryCode":"86",`+
		`"watermark":{"timestamp":%[2]d,"appid":%[3]s}}}`, number, c.sim.wall().Unix(), quote(a.appid)))
}

// UserData is what a mini program's front end hands to its server about the user
// (开放数据): signed, and encrypted, with the session_key.
type UserData struct {
	RawData       string `json:"rawData"`
	Signature     string `json:"signature"` // hex(SHA-1(RawData + session_key))
	EncryptedData string `json:"encryptedData"`
	IV            string `json:"iv"`
}

// UserData returns what wx.getUserInfo gives to a front end about a follower who has a
// session, and an error for one who has none: call jscode2session with a
// [Simulator.MiniCode] before.
func (s *Simulator) UserData(appid, openid string) (UserData, error) {
	a := s.find(appid)
	a.mu.Lock()
	defer a.mu.Unlock()
	session := a.logins.sessions[openid]
	if session == nil {
		return UserData{}, named.Errorf("simulator", "%s has no session in %s: call jscode2session first", openid, appid)
	}
	about := fmt.Sprintf(`"nickName":%s,"gender":0,"language":"zh_CN","city":"","province":"","country":"","avatarUrl":""`, quote(a.nickname(openid)))
	union := ""
	if id := a.unionID(openid); id != "" {
		union = `"unionId":` + quote(id) + `,`
	}
	plain := fmt.Sprintf(`{"openId":%s,%s,%s"watermark":{"timestamp":%d,"appid":%s}}`, quote(openid), about, union, s.wall().Unix(), quote(appid))
	u := UserData{RawData: "{" + about + "}"}
	sum := sha1.Sum([]byte(u.RawData + session.key))
	u.Signature = hex.EncodeToString(sum[:])

	key, err := base64.StdEncoding.DecodeString(session.key)
	if err != nil {
		return UserData{}, err
	}
	iv := make([]byte, aes.BlockSize)
	_, _ = a.logins.random.Read(iv)
	u.IV = base64.StdEncoding.EncodeToString(iv)
	u.EncryptedData, err = encryptUserData(key, iv, plain) //nolint:gosec // G407: the iv is random
	return u, err
}

func encryptUserData(key, iv []byte, plain string) (string, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", err
	}
	padded := []byte(plain)
	for pad, n := aes.BlockSize-len(plain)%aes.BlockSize, 0; n < pad; n++ {
		padded = append(padded, byte(pad))
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	return base64.StdEncoding.EncodeToString(padded), nil
}

// SessionKey returns the session_key that a follower has now, "" for none: what an app
// must never show to a front end.
func (s *Simulator) SessionKey(appid, openid string) string {
	a := s.find(appid)
	a.mu.Lock()
	defer a.mu.Unlock()
	session := a.logins.sessions[openid]
	if session == nil || s.Clock.Now().Sub(session.made) >= sessionKeyLife {
		return ""
	}
	return session.key
}
