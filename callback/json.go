package callback

import (
	"bytes"
	"encoding/json"
)

// jsonEncrypt finds {"Encrypt":"…"}; wrong says what is not as it should be.
// Unlike encoding/json it knows one spelling of the name, and counts.
// A bot of WeCom's gets it as encrypt.
func jsonEncrypt(s []byte, called string) (encrypt []byte, found bool, wrong string) {
	const broken = "its JSON is broken or ends too early"
	s = bytes.TrimLeft(s[1:], space) // after {
	if len(s) == 1 && s[0] == '}' {
		return nil, false, ""
	}
	for {
		name, rest, ok := jsonString(s)
		if !ok {
			return nil, false, broken
		}
		rest = bytes.TrimLeft(rest, space)
		if len(rest) == 0 || rest[0] != ':' {
			return nil, false, broken
		}
		s = bytes.TrimLeft(rest[1:], space)
		if isEncrypt(name, called) {
			if found {
				return nil, false, "it has more than one Encrypt"
			}
			found = true
			value, rest, ok := jsonString(s)
			if ok {
				encrypt, ok = unquote(value)
			}
			if !ok || len(encrypt) == 0 {
				return nil, false, "its Encrypt is not a string, or empty"
			}
			s = rest
		} else if s, ok = skipJSON(s); !ok {
			return nil, false, broken
		}
		s = bytes.TrimLeft(s, space)
		switch {
		case len(s) == 1 && s[0] == '}': // trailing white space was trimmed
			return encrypt, found, ""
		case len(s) == 0 || s[0] != ',':
			return nil, false, broken
		}
		s = bytes.TrimLeft(s[1:], space)
	}
}

// isEncrypt reports whether the quoted name is called, however it is escaped.
func isEncrypt(name []byte, called string) bool {
	if bytes.IndexByte(name, '\\') < 0 {
		return len(name) == len(called)+2 && string(name[1:len(name)-1]) == called
	}
	if len(name) > len(`"\u0045\u006e\u0063\u0072\u0079\u0070\u0074"`) {
		return false
	}
	plain, ok := unquote(name)
	return ok && string(plain) == called
}

// unquote returns what the quoted raw stands for.
func unquote(raw []byte) (value []byte, ok bool) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], true
	}
	s, ok := unescape(raw)
	return []byte(s), ok
}

// unescape takes the long way, which base64 needs when its sender writes "\/".
func unescape(raw []byte) (value string, ok bool) {
	err := json.Unmarshal(raw, &value)
	return value, err == nil
}

// jsonString returns the string at the beginning of s as it is there, with
// its quotes, and what follows it.
func jsonString(s []byte) (raw, rest []byte, ok bool) {
	if len(s) == 0 || s[0] != '"' {
		return nil, nil, false
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[:i+1], s[i+1:], true
		}
	}
	return nil, nil, false
}

// skipJSON returns what follows the value at the beginning of s.
func skipJSON(s []byte) (rest []byte, ok bool) {
	var room [maxDepth]byte
	closing := room[:0] // the brackets that are to come, the next one last
	for len(s) > 0 {
		switch c := s[0]; c {
		case '"':
			if _, s, ok = jsonString(s); !ok {
				return nil, false
			}
		case '{', '[':
			if len(closing) == maxDepth {
				return nil, false
			}
			closing = append(closing, c+2) // } and ] follow { and [ at this distance
			s = s[1:]
		case '}', ']':
			if len(closing) == 0 || closing[len(closing)-1] != c {
				return nil, false
			}
			closing = closing[:len(closing)-1]
			s = s[1:]
		default: // a number or a word; inside of something, separators too
			end := `"{}[],`
			if len(closing) > 0 {
				end = `"{}[]`
			}
			n := bytes.IndexAny(s, end)
			if n <= 0 {
				return nil, false
			}
			s = s[n:]
		}
		if len(closing) == 0 {
			return s, true
		}
	}
	return nil, false
}
