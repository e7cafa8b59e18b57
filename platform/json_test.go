package platform

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestEncodeJSON(t *testing.T) {
	type menu struct {
		Name string          `json:"name"`
		Raw  json.RawMessage `json:"raw,omitempty"`
	}
	for name, tc := range map[string]struct {
		value any
		want  string
	}{
		"nil":                         {nil, `{}`},
		"map":                         {map[string]any{"a": 1, "b": []any{true, nil, 1.5}}, `{"a":1,"b":[true,null,1.5]}`},
		"Chinese":                     {menu{Name: "今日歌曲"}, `{"name":"今日歌曲"}`},
		"HTML":                        {menu{Name: "<a href=\"?a=1&b=2\">'"}, `{"name":"<a href=\"?a=1&b=2\">'"}`},
		"line separators":             {menu{Name: "a\u2028b\u2029c"}, "{\"name\":\"a\u2028b\u2029c\"}"},
		"emoji":                       {menu{Name: "😀"}, `{"name":"😀"}`},
		"short escapes":               {menu{Name: "\b\t\n\f\r\"\\/"}, `{"name":"\b\t\n\f\r\"\\/"}`},
		"delete":                      {menu{Name: "\x7f"}, "{\"name\":\"\x7f\"}"},
		"a backslash and a u":         {menu{Name: `\u4e2d`}, `{"name":"\\u4e2d"}`},
		"escape in a RawMessage":      {menu{Raw: json.RawMessage(`{"x":"\u4e2d\u0026\u002F"}`)}, `{"name":"","raw":{"x":"中&/"}}`},
		"surrogates in a RawMessage":  {menu{Raw: json.RawMessage(`"\ud83d\uDE00"`)}, `{"name":"","raw":"😀"}`},
		"escaped key in a RawMessage": {menu{Raw: json.RawMessage(`{"\u4e2d":1}`)}, `{"name":"","raw":{"中":1}}`},
		"escaped quotes":              {json.RawMessage(`"\u0022\u005c\u005C\u005cu4e2d"`), `"\"\\\\\\u4e2d"`},
		"escaped line":                {json.RawMessage(`"\u000a\u000d\u0009\u0008\u000C"`), `"\n\r\t\b\f"`},
		"bytes":                       {[]byte(` {"a" : "\u4e2d"} `), `{"a":"中"}`},
		"text marshaler":              {map[string]any{"t": time.Unix(0, 0).UTC()}, `{"t":"1970-01-01T00:00:00Z"}`},
		"json.Number":                 {map[string]any{"n": json.Number("23892468385179204")}, `{"n":23892468385179204}`},
		"number key":                  {map[int]string{1: "&"}, `{"1":"&"}`},
	} {
		got, err := encodeJSON(tc.value)
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, tc.want)
		}
	}
}

func TestEncodeJSONRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		value any
		says  string
	}{
		"control character":             {map[string]string{"a": "x\x01y"}, "control character U+0001 at byte 7 "},
		"zero byte":                     {map[string]string{"a": "\x00"}, "control character U+0000 at byte 6 "},
		"control character in a key":    {map[string]string{"\x1f": ""}, "control character U+001F at byte 2 "},
		"escaped control character":     {json.RawMessage(`"\u000B"`), "control character U+000B at byte 1 "},
		"invalid UTF-8":                 {map[string]string{"a": "中\xff"}, "invalid UTF-8, at byte 9 "},
		"cut UTF-8":                     {map[string]string{"a": "\xe4\xb8"}, "invalid UTF-8, at byte 6 "},
		"invalid UTF-8 in a RawMessage": {json.RawMessage("\"\xff\""), "invalid UTF-8 at byte 1 "},
		"first half of a pair":          {json.RawMessage(`"\ud83d"`), "half a surrogate pair at byte 1 "},
		"first half before text":        {json.RawMessage(`"\ud83dabcdef"`), "half a surrogate pair at byte 1 "},
		"first half twice":              {json.RawMessage(`"\ud83d\ud83d"`), "half a surrogate pair at byte 1 "},
		"second half":                   {json.RawMessage(`"ab\ude00"`), "half a surrogate pair at byte 3 "},
		"not JSON":                      {[]byte(`{"a":`), "has no JSON"},
		"empty bytes":                   {[]byte{}, "has no JSON"},
		"two values":                    {[]byte(`{} {}`), "has no JSON"},
		"channel":                       {make(chan int), "has no JSON"},
		"reader":                        {strings.NewReader("{}"), "give it to Upload"},
	} {
		got, err := encodeJSON(tc.value)
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %s, %v, want an error that says %s", name, got, err, tc.says)
		}
	}
}

// TestEncodeJSONProperty: what is encoded has no escape of that form, and comes
// back as it was; the same text with every character escaped does too.
func TestEncodeJSONProperty(t *testing.T) {
	text := rapid.StringOf(rapid.Rune().Filter(func(r rune) bool {
		return r != '\ufffd' && (r >= ' ' || shortEscape(r) != 0)
	}))
	scalar := rapid.OneOf(
		rapid.Map(text, func(s string) any { return s }),
		rapid.Map(rapid.Float64Range(-1e15, 1e15), func(f float64) any { return f }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Just[any](nil),
	)
	value := rapid.MapOf(text, rapid.OneOf(
		scalar,
		rapid.Map(rapid.SliceOf(scalar), func(s []any) any { return append([]any{}, s...) }),
		rapid.Map(rapid.MapOf(text, scalar), func(m map[string]any) any { return m }),
	))
	rapid.Check(t, func(t *rapid.T) {
		want := value.Draw(t, "value")
		marshaled, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range []any{want, json.RawMessage(marshaled), json.RawMessage(escapeAll(marshaled))} {
			encoded, err := encodeJSON(in)
			if err != nil {
				t.Fatalf("%v", err)
			}
			if at := findEscape(encoded); at >= 0 {
				t.Fatalf("an escape at byte %d of %s", at, encoded)
			}
			var got map[string]any
			if err := json.Unmarshal(encoded, &got); err != nil {
				t.Fatalf("%v: %s", err, encoded)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
		}
	})
}

// escapeAll writes every character beyond ASCII of a JSON text as escapes.
func escapeAll(text []byte) []byte {
	var out bytes.Buffer
	for _, r := range string(text) {
		switch {
		case r < 0x80:
			out.WriteRune(r)
		case r < 0x10000:
			writeEscape(&out, r)
		default:
			writeEscape(&out, 0xd800+(r-0x10000)>>10)
			writeEscape(&out, 0xdc00+(r-0x10000)&0x3ff)
		}
	}
	return out.Bytes()
}

func writeEscape(out io.Writer, unit rune) {
	const digits = "0123456789abcdef"
	_, _ = out.Write([]byte{'\\', 'u', digits[unit>>12&15], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15]})
}

// findEscape returns where a \u that is no escaped backslash before a u stands.
func findEscape(text []byte) int {
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			if text[i+1] == 'u' {
				return i
			}
			i++
		}
	}
	return -1
}

func TestReadJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1}`:                      `{"a":1}`,
		"\t[1]\r\n":                    "\t[1]\r\n",
		"{\"a\":\"x\x00\x1fy\n\"}":     `{"a":"x  y "}`,
		"\x01{\"a\":\"\xff\x02\"}\x03": " {\"a\":\"\xff \"} ",
	} {
		original := strings.Clone(text)
		got, reason := readJSON([]byte(text))
		if string(got) != want || reason != "" {
			t.Errorf("%q: %q, %s, want %q", text, got, reason, want)
		}
		if text != original {
			t.Errorf("%q was changed", original)
		}
	}
}
