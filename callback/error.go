package callback

import "net/http"

// Reason names the step at which a request was refused. Its values are fit for
// the label of a metric.
type Reason string

// The reasons, in the order of the steps.
const (
	ReasonTooLong      Reason = "too_long"      // a value of the query, or the query, is too long
	ReasonRepeated     Reason = "repeated"      // a value is in the query more than once
	ReasonEncoding     Reason = "encoding"      // a value of the query is not percent-encoded properly
	ReasonNoToken      Reason = "no_token"      // no Token is configured
	ReasonMissing      Reason = "missing"       // the query lacks a value
	ReasonBodyTooLarge Reason = "body_size"     // the body is larger than MaxBody
	ReasonEnvelope     Reason = "envelope"      // the body is neither an XML nor a JSON envelope
	ReasonPlainText    Reason = "plain_text"    // the body is plain text, and an AES key is configured
	ReasonSignature    Reason = "signature"     // signature does not match
	ReasonMsgSignature Reason = "msg_signature" // msg_signature does not match
	ReasonTimestamp    Reason = "timestamp"     // the timestamp is not one
	ReasonStale        Reason = "stale"         // the timestamp is further from now than Freshness
	ReasonNoAESKey     Reason = "no_aes_key"    // the push is encrypted, and no AES key is configured
	ReasonCiphertext   Reason = "ciphertext"    // Encrypt is not base64 of whole AES blocks
	ReasonAESKey       Reason = "aes_key"       // Encrypt does not open with the AES key
	ReasonAppID        Reason = "appid"         // the push is encrypted for another appid
	ReasonReused       Reason = "reused"        // another body came under the same timestamp and nonce
	ReasonMessage      Reason = "message"       // the message is neither the XML nor the JSON of one
	ReasonBodyRead     Reason = "body_read"     // the signature is right, and something read the body before
	ReasonCompressed   Reason = "compressed"    // the signature is right, and a proxy compressed the body
)

// Error is why a request was refused. [ParseQuery], [Verifier.VerifyURL],
// [Verifier.Open] and [ParseMessage] return no other error.
type Error struct {
	Reason    Reason
	Parameter string // the value of the query that is to blame, such as "echostr"; else ""

	text string
}

// Error says what failed and what to do, without secrets and without the values
// of the request, apart from the appid of [ReasonAppID].
func (e *Error) Error() string { return "callback: " + e.text }

// Status is the status to answer a refused request with: 403, or 500 where WeChat is not to
// blame but this program, or what is in front of it.
func (e *Error) Status() int {
	switch e.Reason {
	case ReasonBodyRead, ReasonCompressed:
		return http.StatusInternalServerError
	default:
		return http.StatusForbidden
	}
}

func refuse(reason Reason, text string) error {
	return &Error{Reason: reason, text: text}
}

func refuseParameter(reason Reason, parameter, text string) error {
	return &Error{Reason: reason, Parameter: parameter, text: text}
}
