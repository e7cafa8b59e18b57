package clients

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
)

// A gateway token says what it is good for and proves that a gateway said so:
//
//	"zk_" base64url( version 1 | issued 4 | client 8 | nonce 4 | appid … | MAC 16 )
//
// issued is Unix seconds. The MAC is HMAC-SHA-256, cut to 128 bits, under a key
// derived from a seal key, over the hash of the client's key and all that stands
// before it. So every gateway with the same seal keys takes it without asking
// anybody, and a client whose key was revoked or replaced has no token any more.
const (
	TokenPrefix  = "zk_" // how every gateway token begins
	tokenVersion = 1
	tokenHead    = 1 + 4 + keyIDBytes + 4
	tokenMAC     = 16
	maxToken     = len(TokenPrefix) + (tokenHead+shape.MaxID+tokenMAC)*8/6 + 1

	StatedLife = 7200 * time.Second // what is said
	tokenLife  = 7500 * time.Second // what is kept: SDKs that refresh a little late meet no 40001
	maxAhead   = time.Minute        // by which another gateway's clock may be ahead of this one's
)

// ticket is what a gateway token says.
type ticket struct {
	client ID
	appID  string
	issued time.Time
}

// tokens mints and reads gateway tokens. It is immutable.
type tokens struct {
	keys []*sync.Pool // of *mac under each key; the first mints, all read
}

// mac is an HMAC that is used again and again: its key is hashed once.
type mac struct {
	hash.Hash

	sum [sha256.Size]byte
}

func newTokens(sealKeys []custody.Secret) (*tokens, error) {
	t := new(tokens)
	for i, seal := range sealKeys {
		if n := len(seal.Reveal()); n != 32 {
			return nil, named.Errorf("gateway", "Config.SealKeys[%d] has %d bytes; a seal key has exactly 32", i, n)
		}
		key, err := hkdf.Key(sha256.New, []byte(seal.Reveal()), nil, "zhongkong gateway token", sha256.Size)
		if err != nil {
			return nil, named.Errorf("gateway", "Config.SealKeys[%d]: %w", i, err)
		}
		t.keys = append(t.keys, &sync.Pool{New: func() any { return &mac{Hash: hmac.New(sha256.New, key)} }})
	}
	return t, nil
}

// mint returns a token for a client whose key has that hash.
func (t *tokens) mint(client ID, key Hash, appID string, now time.Time) string {
	var space [tokenHead + shape.MaxID + tokenMAC]byte
	raw := append(space[:0], tokenVersion)
	raw = binary.BigEndian.AppendUint32(raw, uint32(now.Unix()))
	raw = append(raw, client[:]...)
	raw = binary.BigEndian.AppendUint32(raw, rand.Uint32()) // only tells tokens of one second apart
	raw = append(raw, appID...)
	sum := t.mac(t.keys[0], key, raw)
	raw = append(raw, sum[:tokenMAC]...)

	var text [maxToken]byte
	out := append(text[:0], TokenPrefix...)
	return string(base64.RawURLEncoding.AppendEncode(out, raw))
}

func (t *tokens) mac(seal *sync.Pool, key Hash, payload []byte) [sha256.Size]byte {
	h := seal.Get().(*mac)
	defer seal.Put(h)
	h.Reset()
	_, _ = h.Write(key[:]) // never fails, by its documentation
	_, _ = h.Write(payload)
	h.Sum(h.sum[:0])
	return h.sum
}

// unproven is a parsed token whose mac nobody has checked.
type unproven struct {
	ticket       ticket
	payload, mac []byte
}

// parseToken parses a token and believes none of it. It keeps raw, of maxToken
// bytes, for the check.
func parseToken(text string, raw []byte) (said unproven, ok bool) {
	if len(text) > maxToken || len(text) <= len(TokenPrefix) || text[:len(TokenPrefix)] != TokenPrefix ||
		strings.ContainsAny(text, "\r\n") { // which base64 would ignore: one token has one spelling
		return unproven{}, false
	}
	n, err := base64.RawURLEncoding.Strict().Decode(raw, []byte(text[len(TokenPrefix):]))
	if err != nil || n <= tokenHead+tokenMAC || n > tokenHead+shape.MaxID+tokenMAC || raw[0] != tokenVersion {
		return unproven{}, false
	}
	payload := raw[:n-tokenMAC]
	var t ticket
	t.issued = time.Unix(int64(binary.BigEndian.Uint32(payload[1:])), 0)
	copy(t.client[:], payload[5:])
	t.appID = string(payload[tokenHead:])
	return unproven{t, payload, raw[n-tokenMAC : n]}, true
}

// open returns what a token says once it is proven; keys returns the hashes of the
// client's keys that live at now.
func (t *tokens) open(text string, now time.Time, keys func(ID) []Hash) (ticket, *TokenError) {
	var raw [maxToken]byte
	parsed, ok := parseToken(text, raw[:])
	if !ok {
		return ticket{}, &TokenError{Why: "it is no gateway token"}
	}
	said := parsed.ticket
	for _, key := range keys(said.client) {
		for _, seal := range t.keys {
			sum := t.mac(seal, key, parsed.payload)
			if subtle.ConstantTimeCompare(sum[:tokenMAC], parsed.mac) != 1 {
				continue
			}
			switch age := now.Sub(said.issued); {
			case age >= tokenLife:
				return ticket{}, &TokenError{
					Why: fmt.Sprintf("the gateway token is %s old", age.Round(time.Second)), Expired: true, AppID: said.appID,
				}
			case age < -maxAhead:
				const ahead = "the gateway token is from the future: a gateway's clock is %s ahead"
				return ticket{}, &TokenError{Why: fmt.Sprintf(ahead, -age.Round(time.Second)), AppID: said.appID}
			}
			return said, nil
		}
	}
	return ticket{}, &TokenError{Why: "no living client and seal key made this gateway token", AppID: said.appID, unproven: true}
}

// TokenError says why a gateway token is not taken. It holds no secret.
type TokenError struct {
	Why     string
	Expired bool // it was good once

	// AppID is the account that the token names, even if no gateway made it; "" if it is not a token.
	AppID string

	unproven bool // the store may know a client that proves it
}

// Error is Why.
func (e *TokenError) Error() string { return e.Why }
