package callback

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

func TestVerifyURLVectors(t *testing.T) {
	_, plain := vectors(t)
	for _, v := range plain {
		q := Query{Signature: v.Signature, Timestamp: v.Timestamp, Nonce: v.Nonce, EchoStr: v.EchoStr}
		if q.EchoStr == "" {
			q.EchoStr = "<any> bytes\n"
		}
		for name, config := range map[string]Config{
			"plain":    {Token: text(v.Token)},
			"safe":     {Token: text(v.Token), AppID: "wx1", AESKey: text(strings.Repeat("A", aesKeyLen))},
			"rotating": {Token: text("another"), TokenPrevious: text(v.Token)},
			"fresh":    {Token: text(v.Token), Freshness: time.Second},
		} {
			if echo, err := newVerifier(t, config).VerifyURL(q); err != nil || echo != q.EchoStr {
				t.Errorf("%s, %s: VerifyURL = %q, %v; want %q", v.ID, name, echo, err, q.EchoStr)
			}
		}
	}
}

func TestVerifyURLRefuses(t *testing.T) {
	_, plain := vectors(t)
	v := plain[0]
	verifier := newVerifier(t, Config{Token: text(v.Token), TokenPrevious: text("another")})
	right := Query{Signature: v.Signature, Timestamp: v.Timestamp, Nonce: v.Nonce, EchoStr: v.EchoStr}
	for name, test := range map[string]struct {
		change    func(*Query)
		reason    Reason
		parameter string
	}{
		"no signature":    {func(q *Query) { q.Signature = "" }, ReasonMissing, "signature"},
		"no timestamp":    {func(q *Query) { q.Timestamp = "" }, ReasonMissing, "timestamp"},
		"no nonce":        {func(q *Query) { q.Nonce = "" }, ReasonMissing, "nonce"},
		"no echostr":      {func(q *Query) { q.EchoStr = "" }, ReasonMissing, "echostr"},
		"wrong signature": {func(q *Query) { q.Signature = flip(q.Signature, 7, 0) }, ReasonSignature, ""},
		"upper case":      {func(q *Query) { q.Signature = strings.ToUpper(q.Signature) }, ReasonSignature, ""},
		"other timestamp": {func(q *Query) { q.Timestamp = flip(q.Timestamp, 9, 0) }, ReasonSignature, ""},
		"other nonce":     {func(q *Query) { q.Nonce = flip(q.Nonce, 0, 0) }, ReasonSignature, ""},
		"other Token":     {func(q *Query) { q.Signature = Signature("a third", q.Timestamp, q.Nonce) }, ReasonSignature, ""},
		"empty Token":     {func(q *Query) { q.Signature = Signature("", q.Timestamp, q.Nonce) }, ReasonSignature, ""},
	} {
		t.Run(name, func(t *testing.T) {
			q := right
			test.change(&q)
			echo, err := verifier.VerifyURL(q)
			wantRefusal(t, err, test.reason, test.parameter)
			if echo != "" {
				t.Errorf("a refused request is answered with %q", echo)
			}
		})
	}
}

func TestOpenVectors(t *testing.T) {
	encrypted, plain := vectors(t)
	for _, v := range encrypted {
		verifier := newVerifier(t, v.config())
		for name, body := range map[string][]byte{
			"XML": xmlBody(v.Encrypt), "JSON": jsonBody(v.Encrypt), "compatible": compatibleBody(v.Encrypt),
		} {
			message, pair, err := verifier.Open(v.query(), body)
			if err != nil || string(message) != v.Plaintext || pair != (Pair{Encrypted: true}) {
				t.Errorf("%s, %s: Open = %q, %+v, %v; want %q", v.ID, name, message, pair, err, v.Plaintext)
			}
		}
	}
	for _, v := range plain {
		body := []byte("<xml><MsgType>text</MsgType></xml>")
		q := Query{Signature: v.Signature, Timestamp: v.Timestamp, Nonce: v.Nonce}
		for _, q.EncryptType = range []string{"", "raw"} {
			message, pair, err := newVerifier(t, Config{Token: text(v.Token)}).Open(q, body)
			if err != nil || !bytes.Equal(message, body) || pair != (Pair{}) {
				t.Errorf("%s: Open = %q, %+v, %v; want the body", v.ID, message, pair, err)
			}
		}
	}
}

// TestOpenRefuses takes one right request in each mode and changes one thing.
func TestOpenRefuses(t *testing.T) {
	v := vector(t, "A3-push-json-safe")
	sent := time.Unix(1714112445, 0)
	at := func(d time.Duration) func(*Config) {
		return func(c *Config) {
			c.Freshness = 5 * time.Minute
			c.Now = func() time.Time { return sent.Add(d) }
		}
	}
	plainMode := func(c *Config) { c.AESKey = nil }
	plainBody := []byte("<xml><MsgType><![CDATA[text]]></MsgType></xml>")
	otherKey := strings.Repeat("B", aesKeyLen-1) + "A"
	// resign makes msg_signature right for another Encrypt.
	resign := func(encrypt string) func(*Query, *[]byte) {
		return func(q *Query, body *[]byte) {
			*body = xmlBody(encrypt)
			q.MsgSignature = Signature(v.Token, q.Timestamp, q.Nonce, encrypt)
		}
	}
	for name, test := range map[string]struct {
		config    func(*Config)
		request   func(*Query, *[]byte)
		reason    Reason
		parameter string
	}{
		"too large":              {nil, func(_ *Query, b *[]byte) { *b = make([]byte, MaxBody+1) }, ReasonBodyTooLarge, ""},
		"too large, plain":       {plainMode, func(_ *Query, b *[]byte) { *b = make([]byte, MaxBody+1) }, ReasonBodyTooLarge, ""},
		"unsigned":               {nil, func(q *Query, _ *[]byte) { *q = Query{} }, ReasonMissing, "msg_signature"},
		"unsigned, plain":        {plainMode, func(q *Query, _ *[]byte) { *q = Query{} }, ReasonMissing, "signature"},
		"no timestamp":           {nil, func(q *Query, _ *[]byte) { q.Timestamp = "" }, ReasonMissing, "timestamp"},
		"no nonce":               {nil, func(q *Query, _ *[]byte) { q.Nonce = "" }, ReasonMissing, "nonce"},
		"no body":                {nil, func(_ *Query, b *[]byte) { *b = nil }, ReasonEnvelope, ""},
		"signature only":         {nil, func(q *Query, _ *[]byte) { q.MsgSignature = q.Signature }, ReasonMsgSignature, ""},
		"upper case":             {nil, func(q *Query, _ *[]byte) { q.MsgSignature = strings.ToUpper(q.MsgSignature) }, ReasonMsgSignature, ""},
		"wrong signature, plain": {plainMode, func(q *Query, _ *[]byte) { q.Signature = flip(q.Signature, 0, 0) }, ReasonSignature, ""},
		"another body":           {nil, func(_ *Query, b *[]byte) { *b = xmlBody(vector(t, "A4-reply-json-safe").Encrypt) }, ReasonMsgSignature, ""},
		"plain text":             {nil, func(_ *Query, b *[]byte) { *b = plainBody }, ReasonPlainText, ""},
		"plain text, query says so": {nil, func(q *Query, b *[]byte) {
			q.EncryptType, q.MsgSignature, *b = "raw", "", plainBody
		}, ReasonPlainText, ""},
		"plain text, query of plain mode": {nil, func(q *Query, b *[]byte) {
			q.EncryptType, q.MsgSignature, *b = "", "", []byte(`{"MsgType":"text"}`)
		}, ReasonPlainText, ""},
		"encrypted, no key":     {plainMode, func(*Query, *[]byte) {}, ReasonNoAESKey, ""},
		"unknown type, no key":  {plainMode, func(q *Query, _ *[]byte) { q.EncryptType = "sm4" }, ReasonNoAESKey, ""},
		"no base64":             {nil, resign("%%%%"), ReasonCiphertext, ""},
		"empty ciphertext":      {nil, resign("===="), ReasonCiphertext, ""},
		"truncated ciphertext":  {nil, resign(v.Encrypt[:len(v.Encrypt)-4]), ReasonCiphertext, ""},
		"truncated to blocks":   {nil, resign(truncate(t, v.Encrypt, 32)), ReasonAESKey, ""},
		"other key":             {func(c *Config) { c.AESKey = text(otherKey) }, nil, ReasonAESKey, ""},
		"other keys":            {func(c *Config) { c.AESKey, c.AESKeyPrevious = text(otherKey), text(otherKey) }, nil, ReasonAESKey, ""},
		"other appid":           {func(c *Config) { c.AppID = "wx0000000000000000" }, nil, ReasonAppID, ""},
		"appid with more":       {func(c *Config) { c.AppID = v.ReceiveID[:17] }, nil, ReasonAppID, ""},
		"other Token":           {func(c *Config) { c.Token = text("BBBBB") }, nil, ReasonMsgSignature, ""},
		"10 minutes old":        {at(10 * time.Minute), nil, ReasonStale, "timestamp"},
		"a second too old":      {at(5*time.Minute + time.Second), nil, ReasonStale, "timestamp"},
		"a second too early":    {at(-5*time.Minute - time.Second), nil, ReasonStale, "timestamp"},
		"10 minutes old, plain": {func(c *Config) { plainMode(c); at(10 * time.Minute)(c) }, nil, ReasonStale, "timestamp"},
		"timestamp of year 1":   {at(0), signedAt(v.Token, "1"), ReasonStale, "timestamp"},
		"timestamp far ahead":   {at(0), signedAt(v.Token, "8589934591"), ReasonStale, "timestamp"},
		"timestamp no number":   {at(0), signedAt(v.Token, "17141124x5"), ReasonTimestamp, "timestamp"},
		"timestamp negative":    {at(0), signedAt(v.Token, "-1714112445"), ReasonTimestamp, "timestamp"},
		"timestamp with sign":   {at(0), signedAt(v.Token, "+1714112445"), ReasonTimestamp, "timestamp"},
		"timestamp with zero":   {at(0), signedAt(v.Token, "01714112445"), ReasonTimestamp, "timestamp"},
		"timestamp too large":   {at(0), signedAt(v.Token, "99999999999999999999"), ReasonTimestamp, "timestamp"},
	} {
		t.Run(name, func(t *testing.T) {
			config, q, body := v.config(), v.query(), jsonBody(v.Encrypt)
			if test.config != nil {
				test.config(&config)
			}
			if test.request != nil {
				test.request(&q, &body)
			}
			message, pair, err := newVerifier(t, config).Open(q, body)
			wantRefusal(t, err, test.reason, test.parameter)
			if message != nil || pair != (Pair{}) {
				t.Errorf("a refused push returns %q, %+v", message, pair)
			}
			for _, secret := range []string{v.Token, v.AESKey, otherKey, "debug_demo"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the refusal tells %q: %v", secret, err)
				}
			}
		})
	}
}

// truncate returns encrypt without the last n bytes of what it encodes.
func truncate(t *testing.T, encrypt string, n int) string {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(encrypt)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(data[:len(data)-n])
}

// signedAt changes the timestamp and signs again.
func signedAt(token, timestamp string) func(*Query, *[]byte) {
	return func(q *Query, body *[]byte) {
		q.Timestamp = timestamp
		encrypt, _ := findEncrypt(*body)
		q.MsgSignature = Signature(token, timestamp, q.Nonce, string(encrypt))
	}
}

func TestOpenFresh(t *testing.T) {
	v := vector(t, "A3-push-json-safe")
	for _, age := range []time.Duration{-5 * time.Minute, 0, 5 * time.Minute} {
		config := v.config()
		config.Freshness = 5 * time.Minute
		config.Now = func() time.Time { return time.Unix(1714112445, 0).Add(age) }
		if _, _, err := newVerifier(t, config).Open(v.query(), jsonBody(v.Encrypt)); err != nil {
			t.Errorf("age %s: %v", age, err)
		}
	}
	config := v.config()
	config.Freshness = time.Hour // of the real clock
	_, _, err := newVerifier(t, config).Open(v.query(), jsonBody(v.Encrypt))
	wantRefusal(t, err, ReasonStale, "timestamp")
}

// TestOpenBitFlips changes every single bit that msg_signature covers, and those
// of msg_signature.
func TestOpenBitFlips(t *testing.T) {
	v := vector(t, "A3-push-json-safe")
	verifier := newVerifier(t, v.config())
	refused := func(what string, i int, q Query, body []byte) {
		if message, _, err := verifier.Open(q, body); err == nil || message != nil {
			t.Errorf("a changed bit in byte %d of %s: Open = %q, %v", i, what, message, err)
		}
	}
	for bit := range uint(8) {
		for i := range len(v.Encrypt) {
			refused("Encrypt (XML)", i, v.query(), xmlBody(flip(v.Encrypt, i, bit)))
			refused("Encrypt (JSON)", i, v.query(), jsonBody(flip(v.Encrypt, i, bit)))
		}
		for name, field := range map[string]func(*Query) *string{
			"msg_signature": func(q *Query) *string { return &q.MsgSignature },
			"timestamp":     func(q *Query) *string { return &q.Timestamp },
			"nonce":         func(q *Query) *string { return &q.Nonce },
		} {
			q := v.query()
			for i := range len(*field(&q)) {
				changed := q
				*field(&changed) = flip(*field(&q), i, bit)
				refused(name, i, changed, xmlBody(v.Encrypt))
			}
		}
	}
	// A bit elsewhere is refused or changes nothing that anybody reads.
	for _, body := range [][]byte{xmlBody(v.Encrypt), jsonBody(v.Encrypt), compatibleBody(v.Encrypt)} {
		for i := range body {
			for bit := range 8 {
				changed := slices.Clone(body)
				changed[i] ^= 1 << bit
				message, _, err := verifier.Open(v.query(), changed)
				if err == nil && string(message) != v.Plaintext {
					t.Errorf("a changed bit in byte %d of the body: Open = %q", i, message)
				}
			}
		}
	}
}

// TestRotation has all four pairs of current and previous, on the way in and on
// the way back.
func TestRotation(t *testing.T) {
	tokens := []string{"newToken", "oldToken"}
	keys := []string{strings.Repeat("new", 15)[:aesKeyLen], strings.Repeat("old", 15)[:aesKeyLen]}
	const appID, timestamp, nonce = "wxba5fad812f8e6fb9", "1714112445", "415670741"
	verifier := newVerifier(t, Config{
		AppID: appID, Token: text(tokens[0]), TokenPrevious: text(tokens[1]), AESKey: text(keys[0]), AESKeyPrevious: text(keys[1]),
	})
	for i, token := range tokens {
		for j, key := range keys {
			peer := newVerifier(t, Config{AppID: appID, Token: text(token), AESKey: text(key)})
			pushed, err := peer.Seal(Pair{}, timestamp, nonce, []byte("ping"))
			if err != nil {
				t.Fatal(err)
			}
			message, pair, err := verifier.Open(pushed.query(), xmlBody(pushed.Encrypt))
			if want := (Pair{Encrypted: true, TokenPrevious: i == 1, KeyPrevious: j == 1}); err != nil || string(message) != "ping" || pair != want {
				t.Fatalf("Open = %q, %+v, %v; want ping, %+v", message, pair, err, want)
			}
			answer, err := verifier.Seal(pair, "1714112446", nonce, []byte("pong"))
			if err != nil {
				t.Fatal(err)
			}
			if got, _, err := peer.Open(answer.query(), xmlBody(answer.Encrypt)); err != nil || string(got) != "pong" {
				t.Errorf("pair %+v: the answer opens as %q, %v", pair, got, err)
			}
		}
	}
	plain := newVerifier(t, Config{Token: text(tokens[0]), TokenPrevious: text(tokens[1])})
	for i, token := range tokens {
		q := Query{Signature: Signature(token, timestamp, nonce), Timestamp: timestamp, Nonce: nonce}
		if _, pair, err := plain.Open(q, []byte("<xml></xml>")); err != nil || pair != (Pair{TokenPrevious: i == 1}) {
			t.Errorf("plain, Token %d: Open = %+v, %v", i, pair, err)
		}
	}
}

func (e Envelope) query() Query {
	return Query{Timestamp: e.TimeStamp, Nonce: e.Nonce, MsgSignature: e.MsgSignature}
}

func TestSealFails(t *testing.T) {
	config := Config{AppID: "wx1", Token: text("AAAAA"), AESKey: text(strings.Repeat("A", aesKeyLen))}
	verifier := newVerifier(t, config)
	for name, seal := range map[string]func() (Envelope, error){
		"no such Token": func() (Envelope, error) { return verifier.Seal(Pair{TokenPrevious: true}, "1", "2", nil) },
		"no such key":   func() (Envelope, error) { return verifier.Seal(Pair{KeyPrevious: true}, "1", "2", nil) },
		"plain mode": func() (Envelope, error) {
			return newVerifier(t, Config{Token: text("AAAAA")}).Seal(Pair{}, "1", "2", nil)
		},
		"too large":     func() (Envelope, error) { return verifier.Seal(Pair{}, "1", "2", make([]byte, MaxBody+1)) },
		"zero Verifier": func() (Envelope, error) { return new(Verifier).Seal(Pair{}, "1", "2", nil) },
	} {
		if envelope, err := seal(); err == nil || envelope != (Envelope{}) {
			t.Errorf("%s: Seal = %+v, %v; want an error", name, envelope, err)
		}
	}
}

// TestRoundTripAtScale has random messages of random lengths.
func TestRoundTripAtScale(t *testing.T) {
	rounds := tier.Scale(t, 2_000, 100_000)
	verifier := newVerifier(t, vector(t, "A3-push-json-safe").config())
	random := rand.New(rand.NewPCG(1, 2))
	buffer := make([]byte, 300)
	for range rounds {
		message := buffer[:random.IntN(len(buffer))]
		for i := range message {
			message[i] = byte(random.Uint32())
		}
		envelope, err := verifier.Seal(Pair{}, "1714112445", "415670741", message)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := verifier.Open(envelope.query(), xmlBody(envelope.Encrypt))
		if err != nil || !bytes.Equal(got, message) {
			t.Fatalf("%x comes back as %x, %v", message, got, err)
		}
	}
}

func TestNewVerifierErrors(t *testing.T) {
	key := text("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG")
	right := Config{AppID: "wx1", Token: text("T0ken"), AESKey: key}
	for name, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no Token":             {func(c *Config) { c.Token = nil }, "Config.Token is empty"},
		"empty Token":          {func(c *Config) { c.Token = text("") }, "Config.Token is empty"},
		"previous Token alone": {func(c *Config) { c.Token, c.TokenPrevious = nil, text("T0ken") }, "Config.Token is empty"},
		"short key":            {func(c *Config) { c.AESKey = key[1:] }, "Config.AESKey: it has 42 characters"},
		"key with newline":     {func(c *Config) { c.AESKey = key + "\n" }, "Config.AESKey: it has 44 characters"},
		"key with =":           {func(c *Config) { c.AESKey = key + "=" }, "Config.AESKey: it has 44 characters"},
		"key with +":           {func(c *Config) { c.AESKey = "+" + key[1:] }, "Config.AESKey: it has other characters"},
		"wrong previous key":   {func(c *Config) { c.AESKeyPrevious = "short" + text("") }, "Config.AESKeyPrevious: it has 5 characters"},
		"previous key alone":   {func(c *Config) { c.AESKey, c.AESKeyPrevious = nil, key }, "Config.AESKeyPrevious is set without Config.AESKey"},
		"key without appid":    {func(c *Config) { c.AppID = "" }, "Config.AppID is empty"},
		"negative freshness":   {func(c *Config) { c.Freshness = -1 }, "Config.Freshness is negative"},
	} {
		t.Run(name, func(t *testing.T) {
			config := right
			test.change(&config)
			v, err := NewVerifier(config)
			if v != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("NewVerifier = %v, %v; want an error with %q", v, err, test.want)
			}
			if strings.Contains(err.Error(), "T0ken") || strings.Contains(err.Error(), "abcdef") || strings.Contains(err.Error(), "bcdefg") {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
	// The tutorial's Token breaks the console's rule and works all the same.
	newVerifier(t, Config{Token: text("zhong-kong_测试")})
}

// TestZeroVerifier refuses what anybody could sign, without a Token to sign with.
func TestZeroVerifier(t *testing.T) {
	q := Query{Signature: Signature("", "1", "2"), Timestamp: "1", Nonce: "2", EchoStr: "3"}
	var v Verifier
	_, err := v.VerifyURL(q)
	wantRefusal(t, err, ReasonNoToken, "")
	_, _, err = v.Open(q, []byte("<xml></xml>"))
	wantRefusal(t, err, ReasonNoToken, "")
}

func TestVerifierDoesNotPrint(t *testing.T) {
	v := vector(t, "C-push-xml-sample")
	verifier := newVerifier(t, Config{
		AppID: v.ReceiveID, Token: text(v.Token), TokenPrevious: text(v.Token), AESKey: text(v.AESKey), AESKeyPrevious: text(v.AESKey),
	})
	type holder struct {
		verifier *Verifier
		inner    Verifier
		any      any
	}
	rawKey, _ := base64.StdEncoding.DecodeString(v.AESKey + "=")
	for _, value := range []any{verifier, *verifier, holder{verifier, *verifier, *verifier}, &holder{verifier, *verifier, verifier}} {
		var printed bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&printed, verb+"\n", value)
		}
		slog.New(slog.NewTextHandler(&printed, nil)).Info("", "value", value)
		slog.New(slog.NewJSONHandler(&printed, nil)).Info("", "value", value)
		for _, secret := range []string{
			v.Token, v.AESKey, string(rawKey),
			fmt.Sprintf("%x", v.Token), fmt.Sprintf("%x", v.AESKey), fmt.Sprintf("%x", rawKey),
			strings.Trim(fmt.Sprintf("%d", rawKey[:16]), "[]"), strings.Trim(fmt.Sprintf("%d", rawKey[16:]), "[]"),
		} {
			if strings.Contains(printed.String(), secret) {
				t.Errorf("%T prints %q", value, secret)
			}
		}
	}
}

// FuzzOpen gives Open every body, signed right, and compares what it makes of it
// with the standard library's parsers; then it sends the body through Seal.
func FuzzOpen(f *testing.F) {
	encrypted, _ := vectors(f)
	for _, v := range encrypted {
		f.Add(xmlBody(v.Encrypt), v.MsgSignature)
		f.Add(jsonBody(v.Encrypt), v.MsgSignature)
		f.Add(compatibleBody(v.Encrypt), v.MsgSignature)
	}
	f.Add([]byte(`<?xml version="1.0"?><xml><a/><Encrypt>&#43;</Encrypt></xml>`), "")
	f.Add([]byte(`{"\u0045ncrypt":"a\/b","a":[{"Encrypt":1}]}`), "")
	v := encrypted[0]
	safe := newVerifier(f, v.config())

	f.Fuzz(func(t *testing.T, body []byte, msgSignature string) {
		q := v.query()
		q.MsgSignature = msgSignature
		found, err := findEncrypt(body)
		if err == nil {
			encrypt := string(found)
			if !CheckMsgSignature(v.Token, v.Timestamp, v.Nonce, encrypt, msgSignature) {
				if message, _, err := safe.Open(q, body); err == nil {
					t.Fatalf("opened %q under a wrong msg_signature", message)
				}
			}
			normal := func(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\r", "\n") }
			if want, ok := reference(body); ok && (len(want) != 1 || normal(want[0]) != normal(encrypt)) {
				t.Fatalf("found %q, the standard library %q", encrypt, want)
			}
			q.MsgSignature = Signature(v.Token, v.Timestamp, v.Nonce, encrypt)
		}
		_, pair, err := safe.Open(q, body)
		var refusal *Error
		if err != nil && !errors.As(err, &refusal) {
			t.Fatalf("error of type %T", err)
		}
		if err == nil && !pair.Encrypted {
			t.Fatal("a plain-text body was accepted")
		}

		q = Query{Signature: v.Signature, Timestamp: v.Timestamp, Nonce: v.Nonce}
		plain := newVerifier(t, Config{Token: text(v.Token)}) // one that has not seen the signature
		if message, _, err := plain.Open(q, body); err != nil || !bytes.Equal(message, body) {
			t.Fatalf("plain mode returns %q, %v", message, err)
		}
		envelope, err := safe.Seal(Pair{}, v.Timestamp, v.Nonce, body)
		if err != nil {
			t.Fatal(err)
		}
		if message, _, err := safe.Open(envelope.query(), jsonBody(envelope.Encrypt)); err != nil || !bytes.Equal(message, body) {
			t.Fatalf("sealed and opened, it is %q, %v", message, err)
		}
	})
}
