package platform

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// FuzzGrant holds the reader of token answers to its promise: a clean success or
// an error that quotes nothing.
func FuzzGrant(f *testing.F) {
	for _, tc := range malformed {
		if len(tc.body) < 4<<10 {
			f.Add(tc.status, []byte(tc.body))
		}
	}
	f.Add(200, []byte(goodAnswer))
	f.Add(200, []byte(refusalAnswer))
	f.Add(200, []byte("{\"access_token\":\"a\",\"expires_in\":7200,\"x\":\"\x01\"}"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		before := bytes.Clone(body)
		ans := &answer{request: request{path: stablePath, appID: testAppID}, status: status, header: http.Header{}, body: body}
		grant, err := ans.grant("access_token")
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}

		// The same, said with encoding/json into a struct, whose names are not exact.
		var loose struct {
			Token   *string      `json:"access_token"`
			Expires *json.Number `json:"expires_in"`
			Code    *json.Number `json:"errcode"`
		}
		looseErr := json.Unmarshal(body, &loose)
		if looseErr != nil {
			looseErr = json.Unmarshal(spaced(body), &loose)
		}
		if err == nil {
			value, life := grant.Value.Reveal(), grant.ExpiresIn
			if looseErr != nil || status != 200 || value == "" || len(value) > 2048 || life < time.Second || life > 7*24*time.Hour || life%time.Second != 0 {
				t.Fatalf("%q for %s out of HTTP %d %q", value, life, status, body)
			}
			if strings.ContainsFunc(value, func(r rune) bool { return r < '!' || r > '~' }) {
				t.Fatalf("token %q", value)
			}
			return
		}
		if !grant.Value.IsZero() || grant.ExpiresIn != 0 {
			t.Fatalf("a grant beside %v", err)
		}
		failure := fetchError(err)
		var refusal *Error
		if errors.As(err, &refusal) == failure.Unanswered || refusal != nil && refusal.Code == 0 {
			t.Fatalf("%+v", failure)
		}
		if len(failure.Error()) > 1200 {
			t.Fatalf("an error of %d bytes: %s", len(failure.Error()), failure)
		}
		exact := bytes.Count(bytes.ToLower(body), []byte("access_token")) == 1 && bytes.Contains(body, []byte(`"access_token"`)) &&
			bytes.Count(bytes.ToLower(body), []byte("expires_in")) == 1 && bytes.Contains(body, []byte(`"expires_in"`)) &&
			!bytes.Contains(bytes.ToLower(body), []byte("errcode")) && !bytes.Contains(body, []byte(`\`))
		if exact && looseErr == nil && status == 200 && loose.Code == nil && loose.Token != nil && loose.Expires != nil && len(*loose.Token) <= 2048 {
			seconds, numberErr := loose.Expires.Int64()
			printable := !strings.ContainsFunc(*loose.Token, func(r rune) bool { return r < '!' || r > '~' })
			quoted := bytes.Contains(body, []byte(`"`+loose.Expires.String()+`"`))
			if numberErr == nil && !quoted && *loose.Token != "" && printable && seconds >= 1 && seconds <= 604800 {
				t.Fatalf("%v, but %q is a clean success", err, body)
			}
		}
	})
}

// FuzzRefusal compares the recogniser with encoding/json over the whole body, and
// checks that the body comes through.
func FuzzRefusal(f *testing.F) {
	for _, body := range []string{
		refusalAnswer, goodCall, `{"errcode":42001}`, `{"data":{"errcode":40001}}`, `{"ErrCode":40014}`, "  {\"errcode\" : 40001, \"errmsg\":\"\x01\"}",
		`{"errcode":40001,"errcode":0}`, `{"errcode":4.0001e4}`, `[{"errcode":40001}]`, `{"errc\u006fde":40001}`, "{\"a\":\"\xff\",\"errcode\":40001}",
		`{"errcode":40001}` + strings.Repeat(" ", maxRefusalBytes), "\xff\xd8\xff", "", "\x17{\"errcode\":40001}",
	} {
		f.Add([]byte(body), true)
		f.Add([]byte(body), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, known bool) {
		want := 0
		for _, text := range [][]byte{body, spaced(body)} {
			var object map[string]any
			decoder := json.NewDecoder(bytes.NewReader(text))
			decoder.UseNumber()
			if len(text) > maxRefusalBytes || !json.Valid(text) || decoder.Decode(&object) != nil {
				continue
			}
			switch object["errcode"] {
			case json.Number("40001"):
				want = 40001
			case json.Number("40014"):
				want = 40014
			case json.Number("42001"):
				want = 42001
			}
			break
		}
		resp := &http.Response{StatusCode: http.StatusOK, ContentLength: -1, Body: io.NopCloser(bytes.NewReader(body))}
		if known {
			resp.ContentLength = int64(len(body))
		}
		if _, object, _ := bytes.Cut(body, []byte{'{'}); !known && !mayRefuse(object, errcode.API) {
			want = 0 // passed on as a stream
		}
		if got := refusal(resp, errcode.API); got != want {
			t.Errorf("refusal of %q is %d, want %d", body, got, want)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%q was handed on as %q, %v", body, got, err)
		}
	})
}

// FuzzEncode: what goes out is the same JSON without an escape, or an error.
func FuzzEncode(f *testing.F) {
	for _, text := range []string{`{"a":"\u4e2d\ud83d\ude00"}`, `"\ud83d"`, `"\\u4e2d\u005cu4e2d"`, "\"\xff\"", `"\u0001"`, `[1e5,-0]`, "{}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		encoded, err := encodeJSON(text)
		if err != nil {
			return
		}
		if !json.Valid(text) || !json.Valid(encoded) {
			t.Fatalf("%q out of %q", encoded, text)
		}
		meaning := func(text []byte) []byte {
			var value any
			decoder := json.NewDecoder(bytes.NewReader(text))
			decoder.UseNumber() // a number beyond float64 is JSON too
			if err := decoder.Decode(&value); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			text, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		wantText, gotText := meaning(text), meaning(encoded)
		if !bytes.Equal(wantText, gotText) || findEscape(encoded) >= 0 {
			t.Fatalf("%q became %q", text, encoded)
		}
	})
}
