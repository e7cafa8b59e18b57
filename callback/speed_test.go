package callback

import (
	"crypto/sha1"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

// signatureInputs are what WeChat sends, with the shortest and the longest Token
// that the console takes.
func signatureInputs() map[string][4]string {
	inputs := make(map[string][4]string)
	for name, token := range map[string]string{"Token of 3": "T0k", "Token of 32": strings.Repeat("T0ken", 7)[:32]} {
		const timestamp, nonce = "1714036504", "1514711492"
		inputs[name] = [4]string{token, timestamp, nonce, Signature(token, timestamp, nonce)}
	}
	return inputs
}

// sink keeps the compiler from dropping what is measured.
var sink byte

// TestSpeedSignature holds the check of a signature to three times the SHA-1 of the same
// bytes and to no allocation. It measures 1.6 to 2.3, by what a processor does for SHA-1.
func TestSpeedSignature(t *testing.T) {
	tier.Speed(t)
	const limit = 3.0
	for name, in := range signatureInputs() {
		check, floor := signatureRuns(in)
		allocs := testing.AllocsPerRun(1000, func() { check(1) })
		if allocs > 0 {
			t.Errorf("%s: %v allocations, want none", name, allocs)
		}
		patience.AtMost(t, "signature check, "+name+", to SHA-1 of the same bytes", limit, func() float64 { return ratio(check, floor) })
	}
}

// TestSpeedMsgSignature has the message of 1 KiB and one of 64 KiB.
func TestSpeedMsgSignature(t *testing.T) {
	tier.Speed(t)
	for _, size := range []int{1 << 10, 64 << 10} {
		encrypt := strings.Repeat("+", size)
		signature := Signature("AAAAA", "1714036504", "1514711492", encrypt)
		allocs := testing.AllocsPerRun(100, func() {
			if !CheckMsgSignature("AAAAA", "1714036504", "1514711492", encrypt, signature) {
				t.Fatal("the signature does not match")
			}
		})
		if allocs > 0 {
			t.Errorf("%d bytes: %v allocations, want none", size, allocs)
		}
	}
}

func signatureRuns(in [4]string) (check, floor func(n int)) {
	joined := []byte(in[0] + in[1] + in[2])
	check = func(n int) {
		for range n {
			if !CheckSignature(in[0], in[1], in[2], in[3]) {
				panic("the signature does not match")
			}
		}
	}
	floor = func(n int) {
		for range n {
			sum := sha1.Sum(joined)
			sink ^= sum[0]
		}
	}
	return check, floor
}

// ratio returns the median time of a over that of b, measured in short turns so
// that whatever slows the machine down meets both.
func ratio(a, b func(n int)) float64 {
	const turns, calls = 201, 1000
	var times [2][]time.Duration
	for range turns {
		for i, run := range []func(int){a, b} {
			start := time.Now()
			run(calls)
			times[i] = append(times[i], time.Since(start))
		}
	}
	slices.Sort(times[0])
	slices.Sort(times[1])
	return float64(times[0][turns/2]) / float64(times[1][turns/2])
}

// BenchmarkSignature reports the ratio to the floor as a metric of its own.
func BenchmarkSignature(b *testing.B) {
	for name, in := range signatureInputs() {
		check, floor := signatureRuns(in)
		b.Run(name+"/check", func(b *testing.B) {
			b.ReportAllocs()
			check(b.N)
			b.ReportMetric(ratio(check, floor), "x_floor")
		})
		b.Run(name+"/floor", func(b *testing.B) { floor(b.N) })
	}
}

// BenchmarkOpen is the way in of an encrypted message of 1 KiB.
func BenchmarkOpen(b *testing.B) {
	v := vector(b, "C-push-xml-sample")
	verifier := newVerifier(b, v.config())
	envelope, err := verifier.Seal(Pair{}, v.Timestamp, v.Nonce, []byte(strings.Repeat("m", 1<<10)))
	if err != nil {
		b.Fatal(err)
	}
	q := Query{Timestamp: v.Timestamp, Nonce: v.Nonce, MsgSignature: envelope.MsgSignature}
	for name, body := range map[string][]byte{"XML": xmlBody(envelope.Encrypt), "JSON": jsonBody(envelope.Encrypt)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := verifier.Open(q, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
