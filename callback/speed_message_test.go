package callback

import (
	"bytes"
	"crypto/cipher"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

// kilobyte is a text message of 1 KiB, the id-th.
func kilobyte(id int) string {
	message := textPush(id, "")
	return strings.Replace(message, "<![CDATA[]]></Content>", "<![CDATA["+strings.Repeat("天", (1<<10-len(message))/3)+"]]></Content>", 1)
}

// sealedKilobyte is what WeChat sends of it.
func sealedKilobyte(tb testing.TB, v *Verifier, id int) (Query, []byte) {
	tb.Helper()
	now := strconv.FormatInt(time.Now().Unix(), 10)
	envelope, err := v.Seal(Pair{}, now, strconv.Itoa(id), []byte(kilobyte(id)))
	if err != nil {
		tb.Fatal(err)
	}
	return Query{
		Signature: Signature(testToken, now, strconv.Itoa(id)), Timestamp: now, Nonce: strconv.Itoa(id),
		OpenID: follower, EncryptType: "aes", MsgSignature: envelope.MsgSignature,
	}, xmlBody(envelope.Encrypt)
}

func (q Query) raw() string {
	return "signature=" + q.Signature + "&timestamp=" + q.Timestamp + "&nonce=" + q.Nonce + "&openid=" + q.OpenID +
		"&encrypt_type=" + q.EncryptType + "&msg_signature=" + q.MsgSignature
}

// inFloor is what nobody can leave out on the way in: two SHA-1, base64 and AES of
// the message.
func inFloor(tb testing.TB, q Query, body []byte) func() {
	tb.Helper()
	key := mustKey(tb, testKey)
	encrypt, err := findEncrypt(body)
	if err != nil {
		tb.Fatal(err)
	}
	plain := []byte(testToken + q.Timestamp + q.Nonce)
	joined := []byte(testToken + q.Timestamp + q.Nonce + string(encrypt))
	encoded, data := slices.Clone(encrypt), make([]byte, len(encrypt))
	return func() {
		one, two := sha1.Sum(plain), sha1.Sum(joined)
		n, err := base64.StdEncoding.Decode(data, encoded)
		if err != nil {
			panic(err)
		}
		cipher.NewCBCDecrypter(key.block, key.iv[:]).CryptBlocks(data[:n], data[:n])
		sink ^= one[0] ^ two[0] ^ data[20]
	}
}

// outFloor is the same on the way out, for a reply of 1 KiB.
func outFloor(tb testing.TB) func() {
	tb.Helper()
	key := mustKey(tb, testKey)
	data := make([]byte, (1<<10+prefixLen+len(testAppID)+padBlock)/padBlock*padBlock)
	encoded := make([]byte, base64.StdEncoding.EncodedLen(len(data)))
	return func() {
		cipher.NewCBCEncrypter(key.block, key.iv[:]).CryptBlocks(data, data)
		base64.StdEncoding.Encode(encoded, data)
		sum := sha1.Sum(encoded)
		sink ^= sum[0]
	}
}

// TestSpeedIn holds verifying, decrypting and parsing a message of 1 KiB to three
// times the floor and 20 allocations.
func TestSpeedIn(t *testing.T) {
	tier.Speed(t)
	const limit, maxAllocs = 3.0, 20
	v := newVerifier(t, safeConfig())
	q, body := sealedKilobyte(t, v, 1)
	raw := q.raw()
	floor := inFloor(t, q, body)
	in := func() {
		q, err := ParseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		message, _, err := v.Open(q, body)
		if err != nil {
			t.Fatal(err)
		}
		m, err := ParseMessage(message)
		if err != nil || len(m.Content) < 600 {
			t.Fatal(err)
		}
	}
	allocs := testing.AllocsPerRun(100, in)
	if allocs > maxAllocs {
		t.Errorf("%v allocations, want at most %d", allocs, maxAllocs)
	}
	patience.AtMost(t, "verify, decrypt and parse 1 KiB, to two SHA-1, base64 and AES of it", limit, func() float64 { return turns(in, floor) })
}

// turns returns the time of a over that of b. Both have turns of the same length,
// so that whatever else runs on the machine meets both alike, and the quicker
// quarter of them counts.
func turns(a, b func()) float64 {
	const count, calls, limit = 201, 50, 3
	var times [2][]time.Duration
	for range count {
		begun := time.Now()
		for range calls {
			a()
		}
		times[0] = append(times[0], time.Since(begun))
		begun = time.Now()
		for range limit * calls {
			b()
		}
		times[1] = append(times[1], time.Since(begun)/limit)
	}
	slices.Sort(times[0])
	slices.Sort(times[1])
	return float64(times[0][count/4]) / float64(times[1][count/4])
}

func mustURL(tb testing.TB, s string) *url.URL {
	tb.Helper()
	u, err := url.Parse(s)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

// throughGin has handler in Gin, with nothing else.
func throughGin(handler http.Handler) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.POST("/", gin.WrapH(handler))
	return engine
}

// kilobyteRequest is the id-th message of 1 KiB on its way.
func kilobyteRequest(tb testing.TB, v *Verifier, id int) *http.Request {
	tb.Helper()
	q, body := sealedKilobyte(tb, v, id)
	return &http.Request{
		Method: http.MethodPost, URL: mustURL(tb, "/?"+q.raw()), Header: make(http.Header),
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// plainWriter is a ResponseWriter that keeps nothing.
type plainWriter struct {
	header http.Header
	status int
	size   int
}

func (w *plainWriter) Header() http.Header { return w.header }

func (w *plainWriter) WriteHeader(status int) { w.status = status }

func (w *plainWriter) Write(b []byte) (int, error) {
	w.size += len(b)
	return len(b), nil
}

// TestSpeedThrough holds the whole way of a message of 1 KiB, whose answer has 1
// KiB too, to four times the floors of both ways.
func TestSpeedThrough(t *testing.T) {
	tier.Speed(t)
	const limit, turnCount, calls = 4, 201, 20
	// With a processor that has nothing else to do, a fifth of what is measured would
	// be the system waking it up for each handler's goroutine. A busy server has
	// none.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	v := newVerifier(t, safeConfig())
	answer := strings.Repeat("天", 280)
	bot := NewRouter()
	bot.Use(Recover())
	bot.Text("*", func(c *Context) error { return c.ReplyText(answer) })
	e := mustEndpoint(t, EndpointConfig{Verifier: v, Router: bot})
	defer mustShutdown(t, e)
	server := throughGin(e)
	q, body := sealedKilobyte(t, v, 1)
	in, out := inFloor(t, q, body), outFloor(t)
	requests := make([]*http.Request, turnCount*calls)
	seed := 0
	patience.AtMost(t, "the whole way through Gin and back, 1 KiB each, to the floors of both ways", limit, func() float64 {
		for i := range requests { // each message is another one, or it would be a repetition
			requests[i] = kilobyteRequest(t, v, seed+i)
		}
		seed += len(requests)
		w := &plainWriter{header: make(http.Header)}
		var through, floor []time.Duration
		for turn := range turnCount {
			begun := time.Now()
			for _, r := range requests[turn*calls : (turn+1)*calls] {
				server.ServeHTTP(w, r)
			}
			through = append(through, time.Since(begun))
			begun = time.Now()
			for range limit * calls { // as long as the other, so that it is interrupted as often
				in()
				out()
			}
			floor = append(floor, time.Since(begun)/limit)
		}
		if w.size < len(requests)<<10 {
			t.Fatalf("%d answers of %d bytes, status %d", len(requests), w.size, w.status)
		}
		slices.Sort(through)
		slices.Sort(floor)
		return float64(through[turnCount/4]) / float64(floor[turnCount/4])
	})
}

// BenchmarkThrough is the whole way, for profiles.
func BenchmarkThrough(b *testing.B) {
	v := newVerifier(b, safeConfig())
	answer := strings.Repeat("天", 280)
	bot := NewRouter()
	bot.Text("*", func(c *Context) error { return c.ReplyText(answer) })
	e := mustEndpoint(b, EndpointConfig{Verifier: v, Router: bot})
	server := throughGin(e)
	requests := make([]*http.Request, b.N)
	for i := range requests {
		requests[i] = kilobyteRequest(b, v, i)
	}
	w := &plainWriter{header: make(http.Header)}
	b.ReportAllocs()
	b.ResetTimer()
	for _, r := range requests {
		server.ServeHTTP(w, r)
	}
}
