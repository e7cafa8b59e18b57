package callback

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// sealKeyLen is the length of a seal key: AES-256.
const sealKeyLen = 32

// vault seals what is in a store for a while: messages and answers, which are
// what people write to one another. AES-GCM, bound to the message's key.
type vault []cipher.AEAD

// newVault takes the keys of the configuration, the first of which seals. Without
// any it derives one from the account's own secrets, which all its processes
// have; those open in any case, so that keys can be introduced.
func newVault(keys []Secret, secrets []string) (vault, error) {
	var v vault
	add := func(key []byte) error {
		block, err := aes.NewCipher(key)
		if err != nil {
			return err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return err
		}
		v = append(v, aead)
		return nil
	}
	for i, key := range keys {
		raw := []byte(reveal(key))
		if len(raw) != sealKeyLen {
			return nil, fmt.Errorf("callback: EndpointConfig.SealKeys[%d] has %d bytes; a seal key has exactly %d", i, len(raw), sealKeyLen)
		}
		if err := add(raw); err != nil {
			return nil, err
		}
	}
	for _, secret := range secrets {
		key, err := hkdf.Key(sha256.New, []byte(secret), nil, "zhongkong: messages at rest", sealKeyLen)
		if err != nil {
			return nil, err
		}
		if err := add(key); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// seal leaves nothing to seal as nothing.
func (v vault) seal(key string, plain []byte) []byte {
	if len(plain) == 0 {
		return nil
	}
	return v[0].Seal(nil, nil, plain, []byte(key)) //nolint:gosec // G407: this AEAD draws its nonce itself
}

func (v vault) open(key string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	for _, aead := range v {
		if plain, err := aead.Open(nil, nil, sealed, []byte(key)); err == nil {
			return plain, nil
		}
	}
	return nil, errors.New("callback: what the store holds of this message was sealed by a process with other keys: " +
		"give all processes of the account the same seal keys, or the same Token and AES key")
}
