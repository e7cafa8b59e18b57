package simulator

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"strings"
)

func alphanumeric(s string) bool {
	return strings.Trim(s, alphabet) == ""
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// letters returns n random letters and digits.
func letters(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

// source returns the random numbers that belong to a seed and names.
func source(seed uint64, names ...string) *rand.ChaCha8 {
	h := sha256.New()
	h.Write(binary.LittleEndian.AppendUint64(nil, seed))
	for _, name := range names {
		h.Write([]byte{0})
		h.Write([]byte(name))
	}
	return rand.NewChaCha8([32]byte(h.Sum(nil)))
}

// mix is the finisher of splitmix64: a bijection that looks random.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
