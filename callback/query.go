package callback

import (
	"net/url"
	"strconv"
	"strings"
)

// The most bytes that ParseQuery takes. WeChat sends 19 bytes of echostr and at
// most 40 of anything else.
const (
	maxQuery   = 8 << 10 // as sent, other people's parameters included
	maxEchoStr = 1 << 10
	maxValue   = 128
)

// Query holds the values that WeChat puts into the query of a callback. A value
// that is not in the query is "".
type Query struct {
	Signature    string // over the Token, Timestamp and Nonce
	Timestamp    string // Unix seconds
	Nonce        string // up to 10 digits
	EchoStr      string // address verification: what to answer
	OpenID       string // whose message it is; not covered by any signature
	EncryptType  string // "aes", "raw" or ""; not covered by any signature
	MsgSignature string // over the Token, Timestamp, Nonce and the body's Encrypt
}

// ParseQuery takes WeChat's values out of a raw query, decoding each exactly
// once. Other parameters are ignored.
//
// It is stricter than [url.ParseQuery], so that no proxy or framework on the way
// can have seen another value than the one that is verified: a value that is
// there twice, longer than 128 bytes (echostr: 1,024), badly percent-encoded or
// with a bare semicolon in it is refused, and so is a query of more than 8 KiB.
func ParseQuery(rawQuery string) (Query, error) {
	if len(rawQuery) > maxQuery {
		return Query{}, refuse(ReasonTooLong, "the query is longer than "+strconv.Itoa(maxQuery)+
			" bytes: WeChat did not send this, or the URL in the console carries too much of its own")
	}
	var q Query
	var seen uint
	for rawQuery != "" {
		var parameter string
		parameter, rawQuery, _ = strings.Cut(rawQuery, "&")
		name, value, _ := strings.Cut(parameter, "=")
		if strings.ContainsAny(name, "%+") {
			// sign%61ture is a signature too, and must not hide from the count.
			var err error
			if name, err = url.QueryUnescape(name); err != nil {
				continue
			}
		}
		bit, field := q.field(name)
		if field == nil {
			continue
		}
		if seen&bit != 0 {
			return Query{}, refuseParameter(ReasonRepeated, name, name+" is in the query more than once: "+
				"WeChat sends every value once; somebody else built this request, or a proxy adds to it")
		}
		seen |= bit
		var err error
		if *field, err = decode(name, value); err != nil {
			return Query{}, err
		}
	}
	return q, nil
}

// field returns where the named value belongs, and a bit of its own; nil when it
// is not one of WeChat's.
func (q *Query) field(name string) (bit uint, field *string) {
	switch name {
	case "signature":
		return 1 << 0, &q.Signature
	case "timestamp":
		return 1 << 1, &q.Timestamp
	case "nonce":
		return 1 << 2, &q.Nonce
	case "echostr":
		return 1 << 3, &q.EchoStr
	case "openid":
		return 1 << 4, &q.OpenID
	case "encrypt_type":
		return 1 << 5, &q.EncryptType
	case "msg_signature":
		return 1 << 6, &q.MsgSignature
	default:
		return 0, nil
	}
}

func decode(name, value string) (string, error) {
	limit := maxValue
	if name == "echostr" {
		limit = maxEchoStr
	}
	if len(value) > 3*limit { // longer than limit however it is encoded
		return "", tooLong(name, limit)
	}
	if strings.Contains(value, ";") { // a separator, to some
		return "", badEncoding(name)
	}
	value, err := url.QueryUnescape(value)
	if err != nil {
		return "", badEncoding(name)
	}
	if len(value) > limit {
		return "", tooLong(name, limit)
	}
	return value, nil
}

func tooLong(name string, limit int) error {
	return refuseParameter(ReasonTooLong, name, name+" in the query is longer than "+strconv.Itoa(limit)+
		" bytes: WeChat did not send this")
}

func badEncoding(name string) error {
	return refuseParameter(ReasonEncoding, name, name+" in the query is not percent-encoded properly: "+
		"WeChat did not send this, or a proxy rewrites the URL")
}
