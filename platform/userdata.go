package platform

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/zhongkong-go/zhongkong/custody"
)

// ErrUserData is returned for data of a mini program's front end that was not encrypted,
// or signed, with this session_key: the user has logged in again since, or it is forged.
var ErrUserData = errors.New("platform: the data was not made with this session_key: let the front end call wx.login, and encrypt it again")

// ErrForeignUserData is returned for data whose watermark names another account.
var ErrForeignUserData = errors.New("platform: the data was encrypted for another mini program")

// DecryptUserData opens what wx.getUserInfo and others give to a front end as
// encryptedData and iv, with the session_key of that user (AES-128-CBC, PKCS#7), checks
// that its watermark names appID, and returns the JSON.
//
// CBC does not authenticate: who can change encryptedData can garble what comes out of it.
// Take the openid from the login, not from there.
func DecryptUserData(appID string, key custody.Secret, encryptedData, iv string) (json.RawMessage, error) {
	rawKey, errKey := base64.StdEncoding.DecodeString(key.Reveal())
	data, errData := base64.StdEncoding.DecodeString(encryptedData)
	vector, errIV := base64.StdEncoding.DecodeString(iv)
	switch {
	case errKey != nil || len(rawKey) != 16:
		return nil, errors.New("platform: the session_key is not base64 of 16 bytes")
	case errData != nil || len(data) == 0 || len(data)%aes.BlockSize != 0 || errIV != nil || len(vector) != aes.BlockSize:
		return nil, ErrUserData
	}
	block, err := aes.NewCipher(rawKey)
	if err != nil {
		return nil, err
	}
	cipher.NewCBCDecrypter(block, vector).CryptBlocks(data, data)
	pad := int(data[len(data)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, ErrUserData
	}
	for _, b := range data[len(data)-pad:] {
		if int(b) != pad {
			return nil, ErrUserData
		}
	}
	data = data[:len(data)-pad]
	var marked struct {
		Watermark struct {
			AppID string `json:"appid"`
		} `json:"watermark"`
	}
	switch err := json.Unmarshal(data, &marked); {
	case err != nil:
		return nil, ErrUserData
	case marked.Watermark.AppID != appID:
		return nil, ErrForeignUserData
	}
	return data, nil
}

// VerifyUserData reports whether rawData of a front end is signed with the user's
// session_key: signature is hex(SHA-1(rawData + session_key)).
func VerifyUserData(key custody.Secret, rawData, signature string) error {
	sum := sha1.Sum([]byte(rawData + key.Reveal()))
	if key.IsZero() || subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(signature)) != 1 {
		return ErrUserData
	}
	return nil
}
