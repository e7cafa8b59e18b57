package simulator_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

const signedAPI = "/wxa/getuserriskrank"

// meddler changes requests and answers of the signed API on their way.
type meddler struct {
	http.RoundTripper

	request func(*http.Request, []byte) []byte
	answer  func(*http.Response, []byte) []byte
}

func (m *meddler) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != signedAPI {
		return m.RoundTripper.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if m.request != nil {
		body = m.request(r, body)
	}
	r.Body, r.ContentLength, r.GetBody = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	res, err := m.RoundTripper.RoundTrip(r)
	if err != nil || m.answer == nil {
		return res, err
	}
	defer func() { _ = res.Body.Close() }()
	if body, err = io.ReadAll(res.Body); err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(m.answer(res, body)))
	res.ContentLength = -1
	return res, nil
}

// TestSignedCalls: the simulator verifies and decrypts what platform signs, and the other way
// round; one bit changed in body, header, path or timestamp is refused on either side.
func TestSignedCalls(t *testing.T) {
	const appid = "wx00000000000000aa"
	keys, err := simulator.MakeUpSigning(signedAPI)
	if err != nil {
		t.Fatal(err)
	}
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{
		{AppID: appid, Secret: "made-up", Kind: simulator.MiniProgram, Signing: &keys},
		{AppID: "wx00000000000000bb", Secret: "made-up", Kind: simulator.MiniProgram},
	}})
	signer, err := platform.NewSigner(platform.Signing{
		AppID: appid, SymmetricSerial: keys.SymmetricSerial, SymmetricKey: custody.NewSecret(keys.SymmetricKey),
		PrivateKey: custody.NewSecret(keys.AppKey), Certificates: map[string]string{keys.Serial: keys.Certificate}, Paths: []string{signedAPI},
	})
	if err != nil {
		t.Fatal(err)
	}
	network := &meddler{RoundTripper: wx.RoundTripper()}
	api, err := platform.New(platform.Config{Base: wx.URL, Transport: network})
	if err != nil {
		t.Fatal(err)
	}
	tokens := tokensOf(t, api, appid)
	client := api.Client(tokens, appid).WithSigner(signer)
	call := func() error {
		var out struct {
			Errcode *int `json:"errcode"`
		}
		err := client.Post(t.Context(), signedAPI+"?scene=1", map[string]string{"openid": "o-private"}, &out)
		if err == nil && (out.Errcode == nil || *out.Errcode != 0) {
			t.Errorf("the answer is %+v", out)
		}
		return err
	}
	var wire string
	network.request = func(r *http.Request, body []byte) []byte {
		wire = r.URL.RawQuery + string(body)
		return body
	}
	if err := call(); err != nil || strings.Contains(wire, "o-private") || strings.Contains(wire, "scene") {
		t.Fatalf("%v; WeChat got %s", err, wire)
	}

	header := func(name, value string) func(*http.Request, []byte) []byte {
		return func(r *http.Request, body []byte) []byte {
			if value == "" {
				r.Header.Del(name)
			} else {
				r.Header.Set(name, value)
			}
			return body
		}
	}
	bit := func(b []byte) []byte {
		b = bytes.Clone(b)
		b[len(b)/2] ^= 1
		return b
	}
	for name, row := range map[string]struct {
		request func(*http.Request, []byte) []byte
		errcode int
	}{
		"a bit of the body": {func(_ *http.Request, body []byte) []byte { return bit(body) }, 40234},
		"a bit of the signature": {func(r *http.Request, body []byte) []byte {
			r.Header.Set("Wechatmp-Signature", string(bit([]byte(r.Header.Get("Wechatmp-Signature")))))
			return body
		}, 40234},
		"another path":     {func(r *http.Request, body []byte) []byte { r.URL.Path = "/wxa/other"; return body }, 40234},
		"another time":     {func(r *http.Request, body []byte) []byte { return header("Wechatmp-Timestamp", later(r))(r, body) }, 40234},
		"no time":          {header("Wechatmp-Timestamp", ""), 40231},
		"an old time":      {header("Wechatmp-Timestamp", "1600000000"), 40240},
		"no signature":     {header("Wechatmp-Signature", ""), 40232},
		"no appid":         {header("Wechatmp-Appid", ""), 40233},
		"an unknown appid": {header("Wechatmp-Appid", "wx00000000000000cc"), 40236},
		"another's appid":  {header("Wechatmp-Appid", "wx00000000000000bb"), 40237},
	} {
		network.request = row.request
		var refusal *platform.Error
		if err := call(); !errors.As(err, &refusal) || refusal.Code != row.errcode {
			t.Errorf("%s: %v, want %d", name, err, row.errcode)
		}
	}
	network.request = nil
	for name, answer := range map[string]func(*http.Response, []byte) []byte{
		"a bit of the body": func(_ *http.Response, body []byte) []byte { return bit(body) },
		"a bit of the signature": func(r *http.Response, body []byte) []byte {
			r.Header.Set("Wechatmp-Signature", string(bit([]byte(r.Header.Get("Wechatmp-Signature")))))
			return body
		},
		"another appid": func(r *http.Response, body []byte) []byte {
			r.Header.Set("Wechatmp-Appid", "wx00000000000000bb")
			return body
		},
		"another serial": func(r *http.Response, body []byte) []byte { r.Header.Set("Wechatmp-Serial", "0"); return body },
		"no signature":   func(r *http.Response, body []byte) []byte { r.Header.Del("Wechatmp-Signature"); return body },
		"an old time": func(r *http.Response, body []byte) []byte {
			r.Header.Set("Wechatmp-TimeStamp", "1600000000")
			return body
		},
	} {
		network.answer = answer
		var refused *platform.SignatureError
		if err := call(); !errors.As(err, &refused) || !refused.Sent {
			t.Errorf("the answer with %s: %v", name, err)
		}
	}
	network.answer = nil
	if err := call(); err != nil {
		t.Errorf("in the end: %v", err)
	}
	// Keys that are not in the console, and an account without any.
	if err := wx.Update(appid, func(a *simulator.Account) { a.Signing.SymmetricSerial = "another" }); err != nil {
		t.Fatal(err)
	}
	var refusal *platform.Error
	if err := call(); !errors.As(err, &refusal) || refusal.Code != 40235 {
		t.Errorf("another key: %v", err)
	}
	if err := wx.Update(appid, func(a *simulator.Account) { a.Signing = nil }); err != nil {
		t.Fatal(err)
	}
	if err := call(); !errors.As(err, &refusal) || refusal.Code != 40238 {
		t.Errorf("no keys: %v", err)
	}
	if _, err := simulator.New(simulator.Options{Accounts: []simulator.Account{{AppID: "wx1", Secret: "x", Signing: &simulator.Signing{SymmetricKey: "x"}}}}); err == nil {
		t.Error("keys that cannot be read are taken")
	}
}

// later is a time that differs from the request's.
func later(r *http.Request) string {
	at, _ := strconv.ParseInt(r.Header.Get("Wechatmp-Timestamp"), 10, 64)
	return strconv.FormatInt(at+1, 10)
}

// tokensOf fetches a token once.
func tokensOf(t *testing.T, api *platform.API, appid string) platform.Tokens {
	t.Helper()
	store := memory.New()
	keeper, err := custody.New(custody.Config{
		Store: store,
		Key:   api.Key(appid, platform.Stable), Kind: api.AccessToken(platform.Account{AppID: appid, Secret: custody.NewSecret("made-up")}, platform.Stable),
		Secret: custody.NewSecret("made-up"), Timing: custody.Timing{FetchTimeout: 10 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = keeper.Close(), store.Close() })
	return keeper
}
