package custody

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// sealKeyBytes is the size of a seal key: AES-256.
const sealKeyBytes = 32

// sealer turns credentials into what a store may see and back. Sealing happens
// here and not in a decorator around the store, which would hide the store's
// optional abilities. Without keys it leaves values as they are.
type sealer struct {
	keys []sealKey // the first one seals, each one opens
}

type sealKey struct {
	id   string // 8 bytes of the key's SHA-256, in hex; stored in the clear next to what it sealed
	aead cipher.AEAD
}

func newSealer(keys []Secret) (sealer, error) {
	var s sealer
	for i, key := range keys {
		raw := []byte(key.Reveal())
		if len(raw) != sealKeyBytes {
			return sealer{}, fmt.Errorf("zhongkong: Config.SealKeys[%d] has %d bytes; a seal key has exactly %d (make one with: openssl rand -base64 32, and decode it)", i, len(raw), sealKeyBytes)
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			return sealer{}, fmt.Errorf("zhongkong: Config.SealKeys[%d]: %w", i, err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return sealer{}, fmt.Errorf("zhongkong: Config.SealKeys[%d]: %w", i, err)
		}
		sum := sha256.Sum256(raw)
		s.keys = append(s.keys, sealKey{id: hex.EncodeToString(sum[:8]), aead: aead})
	}
	return s, nil
}

// seal returns what to store of value under name, and the id of the key that
// sealed it, "" when it is in the clear.
func (s sealer) seal(name string, value Secret) (text, keyID string) {
	if len(s.keys) == 0 {
		return value.Reveal(), ""
	}
	k := s.keys[0]
	sealed := k.aead.Seal(nil, nil, []byte(value.Reveal()), []byte(name)) //nolint:gosec // G407: this AEAD draws its nonce itself
	return base64.StdEncoding.EncodeToString(sealed), k.id
}

// errUnsealed is about a value in the clear where seal keys are configured: any program that
// can write the store may have put it there.
var errUnsealed = errors.New("it is not sealed, and this process has seal keys: give all processes that share the store the same")

// open reverses seal. Where there are keys, a value in the clear opens for nobody.
func (s sealer) open(name, text, keyID string) (Secret, error) {
	switch {
	case keyID == "" && len(s.keys) > 0:
		return Secret{}, errUnsealed
	case keyID == "":
		return NewSecret(text), nil
	}
	for _, k := range s.keys {
		if k.id != keyID {
			continue
		}
		sealed, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return Secret{}, errors.New("the stored token is damaged: it is not base64")
		}
		plain, err := k.aead.Open(nil, nil, sealed, []byte(name))
		if err != nil {
			return Secret{}, errors.New("the stored token is damaged, or was sealed for another account or an earlier renewal")
		}
		return NewSecret(string(plain)), nil
	}
	return Secret{}, fmt.Errorf("it was sealed with key %s, this process has %s: give all processes that share the store the same seal keys", keyID, s.ids())
}

// sealName is what a credential is bound to: its name and the fence under which it was
// saved. So an older value, which somebody who writes the store puts back, opens under no
// newer fence; and under its own it replaces no live value in a process that has a newer
// one.
func sealName(key Key, fence int64) string {
	return key.String() + "\x00" + strconv.FormatInt(fence, 10)
}

// UnsealRecord returns the value of a stored record, sealed or in the clear, as a Keeper
// with these seal keys opens it.
func UnsealRecord(keys []Secret, key Key, record Record) (Secret, error) {
	s, err := newSealer(keys)
	if err != nil {
		return Secret{}, err
	}
	return s.open(sealName(key, record.Fence), record.Value, record.SealKey)
}

// ids names the keys for people.
func (s sealer) ids() string {
	if len(s.keys) == 0 {
		return "none"
	}
	ids := make([]string, len(s.keys))
	for i, k := range s.keys {
		ids[i] = k.id
	}
	return strings.Join(ids, ", ")
}

// Seal seals text with the first of keys, 32 bytes each, for a place where others
// may read, such as a ledger: as a Keeper seals its value, bound to name. Unseal
// reverses it and needs the id of the key, which is no secret.
func Seal(keys []Secret, name string, text Secret) (sealed, keyID string, err error) {
	s, err := newSealer(keys)
	if err != nil {
		return "", "", err
	}
	if len(s.keys) == 0 {
		return "", "", errors.New("zhongkong: there is no seal key to seal with")
	}
	sealed, keyID = s.seal(name, text)
	return sealed, keyID, nil
}

// Unseal returns what Seal sealed. Text in the clear is an error.
func Unseal(keys []Secret, name, sealed, keyID string) (Secret, error) {
	s, err := newSealer(keys)
	if err != nil {
		return Secret{}, err
	}
	if keyID == "" {
		return Secret{}, errors.New("zhongkong: the text is not sealed")
	}
	return s.open(name, sealed, keyID)
}
