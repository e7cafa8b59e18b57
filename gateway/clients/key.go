package clients

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/zhongkong-go/zhongkong/custody"
)

// KeyPrefix begins every client key: it and the base64url of 8 bytes that name the
// client and 32 random bytes are 60 characters. The prefix is there to be found, by
// whoever searches logs and repositories for what should not be in them.
const (
	KeyPrefix  = "zkkey_" // nothing else begins like this
	keyIDBytes = 8
	keyBytes   = 32
	keyLength  = len(KeyPrefix) + (keyIDBytes+keyBytes)*8/6 + 1
)

// ID names a client in keys and tokens. It is no secret.
type ID [keyIDBytes]byte

// Hash is what is stored of a key. The key has 256 random bits: a slow hash
// would protect no better.
type Hash [sha256.Size]byte

func newID() (id ID) {
	_, _ = rand.Read(id[:]) // never fails, by its documentation
	return id
}

// newKey returns a new key of the client, and what to store of it.
func newKey(id ID) (custody.Secret, Hash) {
	var raw [keyIDBytes + keyBytes]byte
	copy(raw[:], id[:])
	_, _ = rand.Read(raw[keyIDBytes:])
	text := KeyPrefix + base64.RawURLEncoding.EncodeToString(raw[:])
	return custody.NewSecret(text), hashKey(text)
}

func hashKey(text string) Hash {
	return sha256.Sum256(append(make([]byte, 0, keyLength), text...)) // a key's own length needs no heap
}

// parseKey returns whose key text says it is, which proves nothing yet.
func parseKey(text string) (ID, bool) {
	if len(text) != keyLength || !strings.HasPrefix(text, KeyPrefix) || strings.ContainsAny(text, "\r\n") {
		return ID{}, false
	}
	var raw [keyIDBytes + keyBytes]byte
	// Strict: one key has one spelling.
	if n, err := base64.RawURLEncoding.Strict().Decode(raw[:], []byte(text[len(KeyPrefix):])); err != nil || n != len(raw) {
		return ID{}, false
	}
	return ID(raw[:keyIDBytes]), true
}
