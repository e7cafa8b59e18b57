package callback

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"slices"
	"strings"
	"sync"
)

// signatureLen is the length of a SHA-1 sum in hexadecimal.
const signatureLen = 2 * sha1.Size

// Signature returns WeChat's signature of parts: the SHA-1, in lower-case
// hexadecimal, of parts sorted by their bytes and joined. A request is signed
// over (token, timestamp, nonce), an encrypted message over (token, timestamp,
// nonce, encrypt).
//
// To check a signature use [CheckSignature] and [CheckMsgSignature].
func Signature(parts ...string) string {
	sorted := slices.Clone(parts)
	slices.Sort(sorted)
	sum := sha1.Sum([]byte(strings.Join(sorted, "")))
	return hex.EncodeToString(sum[:])
}

// CheckSignature reports whether signature is WeChat's signature of token,
// timestamp and nonce, in lower case as WeChat sends it. The verdict takes the
// same time wherever the first difference is. An empty token, with which anybody
// could sign, matches nothing.
func CheckSignature(token, timestamp, nonce, signature string) bool {
	if token == "" {
		return false
	}
	a, b, c := token, timestamp, nonce
	if b < a {
		a, b = b, a
	}
	if c < b {
		b, c = c, b
		if b < a {
			a, b = b, a
		}
	}

	// WeChat's values take some 50 bytes: no digest has to be fetched for them.
	var joined [128]byte
	if len(a)+len(b)+len(c) > len(joined) {
		return checkLong(signature, a, b, c)
	}
	n := copy(joined[:], a)
	n += copy(joined[n:], b)
	n += copy(joined[n:], c)
	return equalHex(sha1.Sum(joined[:n]), signature)
}

// CheckMsgSignature is [CheckSignature] for an encrypted message: it reports
// whether msgSignature is the signature of token, timestamp, nonce and encrypt.
// It allocates nothing, however long encrypt is.
func CheckMsgSignature(token, timestamp, nonce, encrypt, msgSignature string) bool {
	if token == "" {
		return false
	}
	parts := [...]string{token, timestamp, nonce, encrypt}
	slices.Sort(parts[:])
	return checkLong(msgSignature, parts[0], parts[1], parts[2], parts[3])
}

// sumMsg is the sum of token, timestamp, nonce and encrypt.
func sumMsg(token, timestamp, nonce string, encrypt []byte) [sha1.Size]byte {
	d := digests.Get().(*digest)
	defer digests.Put(d)
	d.hash.Reset()
	parts := [...]string{token, timestamp, nonce}
	slices.Sort(parts[:])
	written := false
	for _, part := range parts {
		if !written && string(encrypt) < part {
			_, _ = d.hash.Write(encrypt) // a hash never fails to write
			written = true
		}
		d.write(part)
	}
	if !written {
		_, _ = d.hash.Write(encrypt)
	}
	d.hash.Sum(d.sum[:0])
	return d.sum
}

func checkLong(signature string, sorted ...string) bool {
	d := digests.Get().(*digest)
	defer digests.Put(d)
	d.hash.Reset()
	for _, part := range sorted {
		d.write(part)
	}
	d.hash.Sum(d.sum[:0])
	return equalHex(d.sum, signature)
}

// digest hashes strings without turning each into a slice of its own, which
// would be copied to the heap on its way through the interface.
type digest struct {
	hash  hash.Hash
	chunk [1024]byte
	sum   [sha1.Size]byte
}

func (d *digest) write(part string) {
	for part != "" {
		n := copy(d.chunk[:], part)
		_, _ = d.hash.Write(d.chunk[:n]) // a hash never fails to write
		part = part[n:]
	}
}

var digests = sync.Pool{New: func() any { return &digest{hash: sha1.New()} }}

// equalHex compares in constant time.
func equalHex(sum [sha1.Size]byte, signature string) bool {
	if len(signature) != signatureLen {
		return false
	}
	var want, got [signatureLen]byte
	hex.Encode(want[:], sum[:])
	copy(got[:], signature)
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}
