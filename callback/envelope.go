package callback

import "bytes"

// MaxBody is the largest body, in bytes, that [Verifier.Open] takes. WeChat's
// own stay far below; a server should stop reading there.
const MaxBody = 512 << 10

// maxDepth bounds how deep the plain fields next to an Encrypt may be nested;
// WeChat's reach 4.
const maxDepth = 32

const space = " \t\r\n"

// findEncrypt returns the Encrypt of an envelope, XML or JSON by its first byte
// whatever the Content-Type says: WeChat sends text/xml with JSON too. There
// must be exactly one at the top level; those that are nested deeper do not count.
//
// Both scanners read the form that WeChat sends and refuse everything beyond
// (attributes, comments, DOCTYPE, entities): they run on bodies that nobody has
// verified yet, so they copy nothing and take one pass. They do
// not look into the values of the plain fields next to Encrypt, which
// msg_signature does not cover and nobody reads.
func findEncrypt(body []byte) ([]byte, error) { return findNamed(body, "Encrypt") }

// findNamed is findEncrypt, called otherwise in JSON.
func findNamed(body []byte, called string) ([]byte, error) {
	body = bytes.TrimPrefix(body, []byte("\uFEFF"))
	body = bytes.Trim(body, space)
	var encrypt []byte
	var found bool
	var wrong string
	switch {
	case len(body) == 0:
		wrong = "it is empty"
	case body[0] == '<':
		if encrypt, found, wrong = xmlEncrypt(body); wrong != "" {
			if last := lastEncrypt(body); last != nil {
				encrypt, found, wrong = last, true, ""
			}
		}
	case body[0] == '{':
		encrypt, found, wrong = jsonEncrypt(body, called)
	default:
		wrong = "it begins neither with < nor with {"
	}
	switch {
	case wrong != "":
		return nil, refuse(ReasonEnvelope, "the body is not an envelope as WeChat sends it ("+wrong+
			"): somebody else sent this, or a proxy compresses, changes or cuts bodies")
	case !found:
		return nil, refuse(ReasonPlainText, "the message is in plain text, but an AES key is configured: "+
			"choose safe mode (安全模式) in the console; if plain mode is meant, remove the AES key here")
	default:
		return encrypt, nil
	}
}

// lastEncrypt returns the Encrypt at the end of a body whose other half cannot be
// read: in compatible mode a follower's text is there as it was typed, a ]]> and
// tags included, and whatever they make of the XML, Encrypt comes last. msg_signature
// says whether it is the right one.
func lastEncrypt(body []byte) []byte {
	if !bytes.HasPrefix(body, []byte("<xml>")) {
		return nil
	}
	inner, closed := bytes.CutSuffix(bytes.TrimSpace(body), []byte("</xml>"))
	rest, ok := bytes.CutSuffix(bytes.TrimSpace(inner), []byte("]]></Encrypt>"))
	if !closed || !ok {
		return nil
	}
	const opening = "<Encrypt><![CDATA["
	begin := bytes.LastIndex(rest, []byte(opening))
	if begin < 0 {
		return nil
	}
	encrypt := rest[begin+len(opening):]
	for _, c := range encrypt {
		if ('a' > c || c > 'z') && ('A' > c || c > 'Z') && ('0' > c || c > '9') && c != '+' && c != '/' && c != '=' {
			return nil
		}
	}
	if len(encrypt) == 0 {
		return nil
	}
	return encrypt
}
