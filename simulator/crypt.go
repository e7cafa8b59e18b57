package simulator

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// This is WeChat's side of the crypto of package callback, written a second time
// on purpose: what tests an app must not share its mistakes.

const (
	aesKeyLen = 43 // base64 of 32 bytes, without the =
	padBlock  = 32 // WeChat pads to whole blocks of 32, not of AES's 16
)

// sign returns WeChat's signature of parts.
func sign(parts ...string) string {
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, "")))
	return hex.EncodeToString(sum[:])
}

// aesKey encrypts and decrypts as WeChat does.
type aesKey struct {
	block cipher.Block
	iv    []byte
}

func parseAESKey(encoded string) (aesKey, error) {
	if len(encoded) != aesKeyLen || !alphanumeric(encoded) {
		return aesKey{}, fmt.Errorf("has to be %d letters and digits", aesKeyLen)
	}
	key, err := base64.StdEncoding.DecodeString(encoded + "=") // the last character's spare bits may be set
	if err != nil {
		return aesKey{}, errors.New("is not base64")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return aesKey{}, err
	}
	return aesKey{block: block, iv: key[:aes.BlockSize]}, nil
}

// seal encrypts 16 random characters, a message and whom it is for.
func (k aesKey) seal(random, message, receiver string) string {
	var plain []byte
	plain = append(plain, random...)
	plain = binary.BigEndian.AppendUint32(plain, uint32(len(message)))
	plain = append(plain, message...)
	plain = append(plain, receiver...)
	pad := padBlock - len(plain)%padBlock
	for range pad {
		plain = append(plain, byte(pad))
	}
	cipher.NewCBCEncrypter(k.block, k.iv).CryptBlocks(plain, plain)
	return base64.StdEncoding.EncodeToString(plain)
}

// open is the way back. Its errors say what is wrong with encrypted.
func (k aesKey) open(encrypted string) (message, receiver string, err error) {
	data, err := base64.StdEncoding.DecodeString(encrypted)
	if err != nil {
		return "", "", errors.New("it is not base64 without line breaks")
	}
	if len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return "", "", fmt.Errorf("it has %d bytes, which are no whole AES blocks", len(data))
	}
	cipher.NewCBCDecrypter(k.block, k.iv).CryptBlocks(data, data)
	pad := int(data[len(data)-1])
	if pad < 1 || pad > padBlock || pad > len(data) || strings.Trim(string(data[len(data)-pad:]), string(rune(pad))) != "" {
		return "", "", errors.New("its padding is wrong, so it was encrypted with another AES key")
	}
	data = data[:len(data)-pad]
	if len(data) < 20 {
		return "", "", errors.New("it is too short for 16 random bytes and a length")
	}
	length := uint64(binary.BigEndian.Uint32(data[16:]))
	if data = data[20:]; length > uint64(len(data)) {
		return "", "", errors.New("the length inside of it is larger than what is there")
	}
	return string(data[:length]), string(data[length:]), nil
}
