package callback

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// bodiesLife is how long a plain push is remembered when freshness is off.
	bodiesLife = 24 * time.Hour

	// maxBodies bounds one generation, of some 100 bytes each. Nobody fills it who
	// has not the Token; a busy account only makes the memory shorter.
	maxBodies = 1 << 16
)

// bodies remembers which body came under which plain signature. The signature
// does not cover the body, so anyone who saw one on its way could send another
// message under it; WeChat itself only ever repeats the same one. The signature
// stands for timestamp and nonce, between which bytes could move.
type bodies struct {
	mu         sync.Mutex // guards what follows
	young, old map[string][sha256.Size]byte
	begun      time.Time // when young was
}

// same reports whether body is the first under signature, or the same again.
// What is older than life may be forgotten.
func (b *bodies) same(now time.Time, life time.Duration, signature string, body []byte) bool {
	sum := sha256.Sum256(body)
	b.mu.Lock()
	defer b.mu.Unlock()
	if age := now.Sub(b.begun); b.young == nil || age >= life || age < 0 || len(b.young) >= maxBodies {
		b.old, b.young, b.begun = b.young, make(map[string][sha256.Size]byte), now
	}
	if first, ok := b.young[signature]; ok {
		return first == sum
	}
	if first, ok := b.old[signature]; ok {
		return first == sum
	}
	b.young[signature] = sum
	return true
}

// forget takes back what same took for the first body.
func (b *bodies) forget(signature string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.young, signature)
	delete(b.old, signature)
}
