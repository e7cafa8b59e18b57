package callback

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func xmlBody(encrypt string) []byte {
	return []byte("<xml>\n    <ToUserName><![CDATA[gh_97417a04a28d]]></ToUserName>\n    <Encrypt><![CDATA[" + encrypt + "]]></Encrypt>\n</xml>\n")
}

func jsonBody(encrypt string) []byte {
	return []byte(`{"ToUserName":"gh_97417a04a28d","Encrypt":"` + encrypt + `"}`)
}

// compatibleBody is what compatible mode sends: the plain fields too, some of
// which have fields of their own.
func compatibleBody(encrypt string) []byte {
	return []byte("<xml>\n    <ToUserName><![CDATA[gh_97417a04a28d]]></ToUserName>\n    <SendPicsInfo><Count>1</Count>\n<PicList><item>" +
		"<Encrypt>nested</Encrypt><PicMd5Sum><![CDATA[<Encrypt>]]></PicMd5Sum>\n</item>\n</PicList>\n</SendPicsInfo>\n" +
		"<Content>a &lt; b &amp;&#38; c</Content>    <Encrypt><![CDATA[" + encrypt + "]]></Encrypt>\n</xml>\n")
}

func TestFindEncrypt(t *testing.T) {
	for name, body := range map[string]string{
		"XML":                  string(xmlBody("abc+/=")),
		"compatible":           string(compatibleBody("abc+/=")),
		"JSON":                 string(jsonBody("abc+/=")),
		"text":                 "<xml><Encrypt>abc+/=</Encrypt></xml>",
		"text with space":      "<xml><Encrypt>\n  abc+/=\n</Encrypt></xml>",
		"CDATA with space":     "<xml><Encrypt>\n  <![CDATA[abc+/=]]>\n</Encrypt></xml>",
		"declaration":          `<?xml version="1.0" encoding="UTF-8"?>` + "\n<xml><Encrypt>abc+/=</Encrypt></xml>",
		"byte order mark":      "\uFEFF<xml><Encrypt>abc+/=</Encrypt></xml>",
		"leading space":        "\r\n\t <xml><Encrypt>abc+/=</Encrypt></xml>",
		"space in tags":        "<xml ><a /><Encrypt\n>abc+/=</Encrypt ></xml >",
		"other root":           "<Message><Encrypt>abc+/=</Encrypt></Message>",
		"nested ones":          "<xml><a><Encrypt>1</Encrypt></a><Encrypt>abc+/=</Encrypt><b><Encrypt/></b></xml>",
		"JSON, slash escaped":  `{"Encrypt":"abc+\/="}`,
		"JSON, name escaped":   `{"\u0045ncrypt":"abc\u002b/="}`,
		"JSON, nested ones":    `{"a":{"Encrypt":"1"},"b":[{"Encrypt":"2"}],"Encrypt":"abc+/=","c":"\"Encrypt\":1"}`,
		"JSON, all kinds":      ` { "a" : 1 , "b" : [ true , null ] , "Encrypt" : "abc+/=" , "c" : -1.5e3 , "d":{} , "e":"}" } `,
		"JSON, other spelling": `{"encrypt":"1","ENCRYPT":"2","Encrypt":"abc+/="}`,
		"JSON, raw controls":   "{\"a\":\"\x01\",\"Encrypt\":\"abc+/=\"}",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := findEncrypt([]byte(body)); err != nil || string(got) != "abc+/=" {
				t.Errorf("findEncrypt = %q, %v", got, err)
			}
		})
	}
}

func TestFindEncryptRefuses(t *testing.T) {
	deep := strings.Repeat("<a>", maxDepth) + strings.Repeat("</a>", maxDepth)
	for name, test := range map[string]struct {
		body   string
		reason Reason
	}{
		"empty":                  {"", ReasonEnvelope},
		"blank":                  {" \n", ReasonEnvelope},
		"form":                   {"Encrypt=abc", ReasonEnvelope},
		"JSON array":             {`[{"Encrypt":"abc"}]`, ReasonEnvelope},
		"plain XML":              {"<xml><ToUserName><![CDATA[gh_1]]></ToUserName>\n<Content><![CDATA[<Encrypt>a</Encrypt>]]></Content>\n</xml>", ReasonPlainText},
		"plain JSON":             {`{"ToUserName":"gh_1","Content":"\"Encrypt\":\"abc\""}`, ReasonPlainText},
		"empty XML":              {"<xml></xml>", ReasonPlainText},
		"empty XML element":      {"<xml/>", ReasonPlainText},
		"empty JSON":             {"{ }", ReasonPlainText},
		"Encrypt as root":        {"<Encrypt>abc</Encrypt>", ReasonPlainText},
		"nested only":            {"<xml><a><Encrypt>abc</Encrypt></a></xml>", ReasonPlainText},
		"nested only, JSON":      {`{"a":{"Encrypt":"abc"}}`, ReasonPlainText},
		"other spelling":         {"<xml><encrypt>abc</encrypt></xml>", ReasonPlainText},
		"other spelling, JSON":   {`{"encrypt":"abc"}`, ReasonPlainText},
		"two":                    {"<xml><Encrypt>abc</Encrypt><Encrypt>abc</Encrypt></xml>", ReasonEnvelope},
		"two, one empty":         {"<xml><Encrypt>abc</Encrypt><Encrypt/></xml>", ReasonEnvelope},
		"two, JSON":              {`{"Encrypt":"abc","Encrypt":"abc"}`, ReasonEnvelope},
		"two, JSON, escaped":     {`{"Encrypt":"abc","\u0045ncrypt":"abc"}`, ReasonEnvelope},
		"no content":             {"<xml><Encrypt></Encrypt></xml>", ReasonEnvelope},
		"no content, CDATA":      {"<xml><Encrypt><![CDATA[]]></Encrypt></xml>", ReasonEnvelope},
		"no content, short":      {"<xml><Encrypt/></xml>", ReasonEnvelope},
		"no content, JSON":       {`{"Encrypt":""}`, ReasonEnvelope},
		"no string":              {`{"Encrypt":1}`, ReasonEnvelope},
		"null":                   {`{"Encrypt":null}`, ReasonEnvelope},
		"object":                 {`{"Encrypt":{"a":"b"}}`, ReasonEnvelope},
		"elements inside":        {"<xml><Encrypt>a<b>c</b></Encrypt></xml>", ReasonEnvelope},
		"reference inside":       {"<xml><Encrypt>ab&#99;</Encrypt></xml>", ReasonEnvelope},
		"in pieces":              {"<xml><Encrypt><![CDATA[a]]><![CDATA[b]]></Encrypt></xml>", ReasonEnvelope},
		"in pieces, mixed":       {"<xml><Encrypt>a<![CDATA[b]]></Encrypt></xml>", ReasonEnvelope},
		"attribute":              {`<xml a="b"><Encrypt>abc</Encrypt></xml>`, ReasonEnvelope},
		"namespace":              {`<a:xml><Encrypt>abc</Encrypt></a:xml>`, ReasonEnvelope},
		"comment":                {"<xml><!-- --><Encrypt>abc</Encrypt></xml>", ReasonEnvelope},
		"processing instruction": {"<xml><?php ?><Encrypt>abc</Encrypt></xml>", ReasonEnvelope},
		"DOCTYPE":                {`<!DOCTYPE xml SYSTEM "file:///etc/passwd"><xml><Encrypt>abc</Encrypt></xml>`, ReasonEnvelope},
		"entity bomb":            {`<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><xml><Encrypt>&b;</Encrypt></xml>`, ReasonEnvelope},
		"entity":                 {"<xml><a>&b;</a><Encrypt>abc</Encrypt></xml>", ReasonEnvelope},
		"bare ampersand":         {"<xml><a>b & c</a><Encrypt>abc</Encrypt></xml>", ReasonEnvelope},
		"empty reference":        {"<xml><a>&#;</a><Encrypt>abc</Encrypt></xml>", ReasonEnvelope},
		"not closed":             {"<xml><Encrypt>abc</Encrypt>", ReasonEnvelope},
		"cut in the tag":         {"<xml><Encrypt>abc</Encr", ReasonEnvelope},
		"cut in the text":        {"<xml><Encrypt>abc", ReasonEnvelope},
		"cut in CDATA":           {"<xml><Encrypt><![CDATA[abc]]", ReasonEnvelope},
		"cut in the declaration": {`<?xml version="1.0"`, ReasonEnvelope},
		"declaration alone":      {`<?xml version="1.0"?>`, ReasonEnvelope},
		"crossed":                {"<xml><Encrypt>abc</xml></Encrypt>", ReasonEnvelope},
		"end first":              {"</xml>", ReasonEnvelope},
		"text before":            {`<?xml version="1.0"?>a<xml><Encrypt>abc</Encrypt></xml>`, ReasonEnvelope},
		"text after":             {"<xml><Encrypt>abc</Encrypt></xml>a", ReasonEnvelope},
		"CDATA before":           {`<?xml version="1.0"?><![CDATA[ ]]><xml><Encrypt>abc</Encrypt></xml>`, ReasonEnvelope},
		"two roots":              {"<xml><Encrypt>abc</Encrypt></xml><xml/>", ReasonEnvelope},
		"too deep":               {"<xml>" + deep + "<Encrypt>abc</Encrypt></xml>", ReasonEnvelope},
		"too deep, JSON":         {`{"a":` + strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1) + `,"Encrypt":"abc"}`, ReasonEnvelope},
		"JSON cut":               {`{"Encrypt":"abc"`, ReasonEnvelope},
		"JSON cut in the string": {`{"Encrypt":"abc`, ReasonEnvelope},
		"JSON cut in an escape":  {`{"Encrypt":"abc\`, ReasonEnvelope},
		"JSON cut in the name":   {`{"Encrypt`, ReasonEnvelope},
		"JSON cut after it":      {`{"Encrypt"`, ReasonEnvelope},
		"JSON cut in an array":   {`{"a":[1,`, ReasonEnvelope},
		"JSON brackets crossed":  {`{"a":[1},"Encrypt":"abc"}`, ReasonEnvelope},
		"JSON without value":     {`{"a":,"Encrypt":"abc"}`, ReasonEnvelope},
		"JSON bad escape":        {`{"Encrypt":"\x"}`, ReasonEnvelope},
		"JSON comma at the end":  {`{"Encrypt":"abc",}`, ReasonEnvelope},
		"JSON without comma":     {`{"Encrypt":"abc" "a":1}`, ReasonEnvelope},
		"JSON goes on":           {`{"Encrypt":"abc"}{}`, ReasonEnvelope},
		"lone brace":             {`{`, ReasonEnvelope},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := findEncrypt([]byte(test.body))
			wantRefusal(t, err, test.reason, "")
			if got != nil {
				t.Errorf("a refused envelope returns %q", got)
			}
		})
	}
}

// TestFindEncryptBounded has bodies that are large in every way: refused or
// not, they cost one pass and no memory.
func TestFindEncryptBounded(t *testing.T) {
	for name, body := range map[string]string{
		"100,000 elements":     "<xml>" + strings.Repeat("<a></a>", 100_000) + "</xml>",
		"100,000 levels":       strings.Repeat("<a>", 100_000),
		"100,000 CDATA":        "<xml>" + strings.Repeat("<![CDATA[]]>", 80_000) + "</xml>",
		"100,000 names":        "{" + strings.Repeat(`"a":0,`, 100_000) + `"b":0}`,
		"100,000 arrays":       `{"a":` + strings.Repeat("[", 100_000),
		"one long string":      `{"a":"` + strings.Repeat("a", MaxBody-8) + `"}`,
		"one long text":        "<xml>" + strings.Repeat("a", MaxBody-11) + "</xml>",
		"100,000 references":   "<xml>" + strings.Repeat("&lt;", 100_000) + "</xml>",
		"one very long escape": `{"` + strings.Repeat(`\n`, 100_000) + `":0}`,
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte(body)
			if _, err := findEncrypt(body); err == nil {
				t.Error("found an Encrypt")
			}
			if allocs := testing.AllocsPerRun(10, func() { _, _ = findEncrypt(body) }); allocs > 3 {
				t.Errorf("%v allocations, want those of the refusal", allocs)
			}
		})
	}
}

// reference reads the Encrypts at the top level of an envelope with the standard
// library; ok is false when that takes it for broken, or reads it in a way that
// cannot be compared.
func reference(body []byte) (encrypts []string, ok bool) {
	body = bytes.TrimLeft(bytes.TrimPrefix(body, []byte("\uFEFF")), space)
	switch {
	case len(body) == 0 || !utf8.Valid(body):
		return nil, false
	case body[0] == '{':
		return jsonReference(body)
	default:
		// XML has the reader turn every line end into \n.
		body = bytes.ReplaceAll(body, []byte("\r"), []byte("\n"))
		return xmlReference(body)
	}
}

func xmlReference(body []byte) (encrypts []string, ok bool) {
	decoder := xml.NewDecoder(bytes.NewReader(body))
	decoder.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	depth, text := 0, ""
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return encrypts, true
		}
		if err != nil {
			return nil, false
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			text = ""
		case xml.CharData:
			text += string(token)
		case xml.EndElement:
			if depth == 2 && token.Name.Local == "Encrypt" && token.Name.Space == "" {
				encrypts = append(encrypts, text)
			}
			depth--
		}
	}
}

func jsonReference(body []byte) (encrypts []string, ok bool) {
	if !json.Valid(body) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if token, _ := decoder.Token(); token != json.Delim('{') {
		return nil, false
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, false
		}
		var value any
		if err := decoder.Decode(&value); err != nil {
			return nil, false
		}
		if s, isString := value.(string); name == "Encrypt" && isString {
			encrypts = append(encrypts, s)
		}
	}
	return encrypts, true
}
