package platform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// encodeJSON encodes v without a single \uXXXX escape, which several of WeChat's
// APIs answer with 40033. []byte and json.RawMessage are JSON already; nil is {},
// since WeChat answers an empty POST with 44002.
//
// encoding/json escapes more than HTML's characters: U+2028 and U+2029, control
// characters, and invalid UTF-8 as \ufffd; a json.RawMessage brings escapes of
// its own.
func encodeJSON(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return []byte("{}"), nil
	case []byte:
		return encodeJSON(json.RawMessage(v))
	case io.Reader:
		return nil, fmt.Errorf("platform: %T is a stream, not a value for JSON: give it to Upload, or read it into a json.RawMessage", v)
	}
	if kind := reflect.TypeOf(v).Kind(); kind == reflect.String {
		if _, encodes := v.(json.Marshaler); !encodes {
			return nil, fmt.Errorf("platform: the body is a %T, which would be sent as JSON in quotes: give a map or a struct, or JSON that is ready as json.RawMessage(text)", v)
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("platform: the body has no JSON: %w", err)
	}
	return unescape(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// unescape writes the \uXXXX escapes of a valid JSON text as the characters they
// stand for.
func unescape(text []byte) ([]byte, error) {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		switch {
		case text[i] != '\\':
			r, size := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && size == 1 {
				return nil, fmt.Errorf("platform: the body holds invalid UTF-8 at byte %d of its JSON", i)
			}
			out = append(out, text[i:i+size]...)
			i += size
		case text[i+1] != 'u':
			out = append(out, text[i:i+2]...)
			i += 2
		default:
			r, size := escaped(text[i:])
			switch {
			case size == 0:
				return nil, fmt.Errorf("platform: the body holds half a surrogate pair at byte %d of its JSON", i)
			case r == utf8.RuneError:
				return nil, fmt.Errorf("platform: the body holds U+FFFD, which stands for invalid UTF-8, at byte %d of its JSON", i)
			case r == '"' || r == '\\':
				out = append(out, '\\', byte(r))
			case r < ' ':
				short := shortEscape(r)
				if short == 0 {
					return nil, fmt.Errorf("platform: the body holds the control character U+%04X at byte %d of its JSON, which WeChat does not take", r, i)
				}
				out = append(out, '\\', short)
			default:
				out = utf8.AppendRune(out, r)
			}
			i += size
		}
	}
	return out, nil
}

// escaped reads the \uXXXX, or the surrogate pair of them, at the start of text.
// Its size is 0 for half a pair.
func escaped(text []byte) (r rune, size int) {
	unit := func(at int) rune {
		if len(text) < at+6 || text[at] != '\\' || text[at+1] != 'u' {
			return 0
		}
		n, _ := strconv.ParseUint(string(text[at+2:at+6]), 16, 16)
		return rune(n)
	}
	r = unit(0)
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if r = utf16.DecodeRune(r, unit(6)); r == utf8.RuneError {
		return r, 0
	}
	return r, 12
}

// shortEscape returns the letter after the backslash of JSON's escapes for
// control characters, 0 where there is none.
func shortEscape(r rune) byte {
	switch r {
	case '\b':
		return 'b'
	case '\t':
		return 't'
	case '\n':
		return 'n'
	case '\f':
		return 'f'
	case '\r':
		return 'r'
	default:
		return 0
	}
}

// readJSON returns text as valid JSON, or the reason why it is none. WeChat
// leaves control characters raw inside strings (in nicknames): they become
// spaces.
func readJSON(text []byte) (valid []byte, reason string) {
	start := bytes.TrimLeft(text, " \t\r\n")
	switch {
	case len(start) == 0:
		return nil, "it is empty"
	case json.Valid(text):
		return text, ""
	case start[0] == '<':
		return nil, "it is HTML or XML, not JSON"
	}
	text = spaced(text)
	if json.Valid(text) {
		return text, ""
	}
	var value json.RawMessage
	err := json.NewDecoder(bytes.NewReader(text)).Decode(&value)
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return nil, "it is JSON with something behind it"
	case errors.As(err, &syntax):
		return nil, fmt.Sprintf("it is not JSON from byte %d on", syntax.Offset-1)
	default:
		return nil, "it is JSON that breaks off"
	}
}

// spaced returns text with a space instead of every control character.
func spaced(text []byte) []byte {
	text = bytes.Clone(text)
	for i, c := range text {
		if c < ' ' {
			text[i] = ' '
		}
	}
	return text
}

// fields are the top-level fields of a JSON object by their exact names:
// decoding into a struct would take ERRCODE for errcode.
type fields map[string]json.RawMessage

// readFields reports false for JSON that is not an object.
func readFields(text []byte) (fields, bool) {
	var f fields
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, false
	}
	return f, f != nil
}

// errcode returns the top-level errcode, 0 when there is none.
func (f fields) errcode() (int64, error) {
	raw, found := f["errcode"]
	if !found {
		return 0, nil
	}
	code, err := strconv.ParseInt(string(raw), 10, 32)
	if err != nil {
		return 0, errors.New("its errcode is not a whole number")
	}
	return code, nil
}
