package callback

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// NewOwner returns an owner for the calls of one delivery to a [Once]. Behind a dot it
// has a mark of the follower, so that a store that bounds what it keeps can give each
// follower a share.
func NewOwner(follower string) string {
	sum := sha256.Sum256([]byte(follower))
	var room [48]byte
	b := append(room[:0], rand.Text()...)
	b = append(b, '.')
	return string(base64.RawURLEncoding.AppendEncode(b, sum[:8]))
}
