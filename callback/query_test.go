package callback

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/race"
)

func TestParseQuery(t *testing.T) {
	long := strings.Repeat("9", maxValue)
	longEcho := strings.Repeat("9", maxEchoStr)
	for name, test := range map[string]struct {
		raw  string
		want Query
	}{
		"empty":          {"", Query{}},
		"verification":   {"signature=f464&timestamp=1714036504&nonce=1514711492&echostr=4375120948345356249", Query{Signature: "f464", Timestamp: "1714036504", Nonce: "1514711492", EchoStr: "4375120948345356249"}},
		"any order":      {"echostr=4&nonce=3&timestamp=2&signature=1", Query{Signature: "1", Timestamp: "2", Nonce: "3", EchoStr: "4"}},
		"push":           {"signature=1&timestamp=2&nonce=3&openid=o-_&encrypt_type=aes&msg_signature=5", Query{Signature: "1", Timestamp: "2", Nonce: "3", OpenID: "o-_", EncryptType: "aes", MsgSignature: "5"}},
		"decoded once":   {"echostr=a%2Bb+c%252B%26", Query{EchoStr: "a+b c%2B&"}},
		"escaped name":   {"sign%61ture=1", Query{Signature: "1"}},
		"equals sign":    {"echostr=a=b==", Query{EchoStr: "a=b=="}},
		"no value":       {"signature&nonce=", Query{}},
		"empty pieces":   {"&&signature=1&&", Query{Signature: "1"}},
		"any bytes":      {"echostr=%00%FF<\n", Query{EchoStr: "\x00\xff<\n"}},
		"unknown":        {"Signature=2&signature[]=3&a=1&a=2&b=%zz&%zz=1&c;d=e;f&long" + long + long + "%41=1&signature=1", Query{Signature: "1"}},
		"semicolon name": {"a=1;signature=2&nonce=3", Query{Nonce: "3"}},
		"longest":        {"nonce=" + long + "&echostr=" + longEcho, Query{Nonce: long, EchoStr: longEcho}},
		"longest, coded": {"nonce=" + strings.Repeat("%39", maxValue) + "&echostr=" + strings.Repeat("%39", maxEchoStr), Query{Nonce: long, EchoStr: longEcho}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseQuery(test.raw)
			if err != nil || got != test.want {
				t.Errorf("ParseQuery = %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}

func TestParseQueryRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		raw       string
		reason    Reason
		parameter string
	}{
		"twice":               {"signature=1&signature=1", ReasonRepeated, "signature"},
		"twice, one escaped":  {"signature=1&sign%61ture=1", ReasonRepeated, "signature"},
		"twice, one empty":    {"echostr=&nonce=1&echostr=1", ReasonRepeated, "echostr"},
		"twice, one bare":     {"nonce&nonce=1", ReasonRepeated, "nonce"},
		"long":                {"nonce=" + strings.Repeat("9", maxValue+1), ReasonTooLong, "nonce"},
		"long, coded":         {"openid=" + strings.Repeat("%39", maxValue+1), ReasonTooLong, "openid"},
		"long, partly coded":  {"openid=%39" + strings.Repeat("9", maxValue), ReasonTooLong, "openid"},
		"long echostr":        {"echostr=" + strings.Repeat("9", maxEchoStr+1), ReasonTooLong, "echostr"},
		"long query":          {"a=" + strings.Repeat("9", maxQuery), ReasonTooLong, ""},
		"bad escape":          {"timestamp=%zz", ReasonEncoding, "timestamp"},
		"cut escape":          {"msg_signature=1%4", ReasonEncoding, "msg_signature"},
		"semicolon":           {"encrypt_type=aes;a", ReasonEncoding, "encrypt_type"},
		"semicolon, one more": {"signature=1;signature=2", ReasonEncoding, "signature"},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := ParseQuery(test.raw)
			wantRefusal(t, err, test.reason, test.parameter)
			if q != (Query{}) {
				t.Errorf("a refused query returns %+v", q)
			}
		})
	}
}

func TestParseQueryAllocations(t *testing.T) {
	const raw = "signature=899cf89e464efb63f54ddac96b0a0a235f53aa78&timestamp=1714037059&nonce=486452656&openid=o9AgO5Kd5ggOC-bXrbNODIiE3bGY"
	if allocs := testing.AllocsPerRun(100, func() { _, _ = ParseQuery(raw) }); allocs > 0 && !race.Enabled {
		t.Errorf("%v allocations for a query without escapes, want none", allocs)
	}
}

// wantRefusal checks that err is a refusal with this reason whose text says more
// than that.
func wantRefusal(t *testing.T, err error, reason Reason, parameter string) {
	t.Helper()
	var refusal *Error
	if !errors.As(err, &refusal) {
		t.Fatalf("error %v, want a refusal for %q", err, reason)
	}
	if refusal.Reason != reason || refusal.Parameter != parameter {
		t.Errorf("refused for %q, parameter %q (%v); want %q, %q", refusal.Reason, refusal.Parameter, err, reason, parameter)
	}
	if text := err.Error(); len(text) < 40 || !strings.Contains(text, ": ") || len(text) > 400 {
		t.Errorf("the text does not say what to do: %s", text)
	}
}

// FuzzQuery holds ParseQuery to what url.ParseQuery reads.
func FuzzQuery(f *testing.F) {
	f.Add("signature=f464b24f&timestamp=1714036504&nonce=1514711492&echostr=4375120948345356249")
	f.Add("sign%61ture=1&signature=1;nonce=2&echostr=%zz&&=&openid=+%2B")
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := ParseQuery(raw)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("error of type %T", err)
			}
			return
		}
		values, _ := url.ParseQuery(raw) // it returns what it could read beside its error
		for name, got := range map[string]string{
			"signature": q.Signature, "timestamp": q.Timestamp, "nonce": q.Nonce, "echostr": q.EchoStr,
			"openid": q.OpenID, "encrypt_type": q.EncryptType, "msg_signature": q.MsgSignature,
		} {
			if len(values[name]) > 1 || values.Get(name) != got {
				t.Errorf("%s is %q, to net/url %q", name, got, values[name])
			}
			if len(got) > maxEchoStr || len(got) > maxValue && name != "echostr" {
				t.Errorf("%s has %d bytes", name, len(got))
			}
		}
	})
}
