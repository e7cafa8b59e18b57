package fanout

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
)

// awayError is why a subscriber cannot be reached, whatever it is sent.
type awayError struct{ error }

func (e awayError) Unwrap() error { return e.error }

func isAway(err error) bool {
	var away awayError
	return errors.As(err, &away)
}

// send delivers a push to a subscriber. Its error says what went wrong, and is nil
// when the subscriber took it; with answering, when it also answered what WeChat
// would take. reply is in plain text, nil for none.
func (f *Fanout) send(ctx context.Context, s *subscriber, m *callback.Message, text string, answering bool) (reply []byte, err error) {
	r, err := s.request(ctx, m, text)
	if err != nil {
		return nil, err
	}
	res, err := f.transport.RoundTrip(r) // follows no redirect
	if err != nil {
		return nil, unreached(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, callback.MaxBody+1))
	switch status := res.StatusCode; {
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout, status == http.StatusTooManyRequests:
		return nil, awayError{fmt.Errorf("it answered %d %s", status, http.StatusText(status))}
	case status >= 300 && status < 400:
		return nil, fmt.Errorf("it answered %d, and redirects are not followed: configure the address that it leads to", status)
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return nil, fmt.Errorf("it answered %d: see that it has the token and aes_key that are configured for it", status)
	case status < 200 || status >= 300:
		return nil, fmt.Errorf("it answered %d %s", status, http.StatusText(status))
	case !answering:
		return nil, nil
	case err != nil:
		return nil, unreached(ctx, err)
	}
	if reply, err = s.reply(m, body); err != nil {
		return nil, unusableError{err}
	}
	return reply, nil
}

// unusableError is what is wrong with the answer of a subscriber that took a push.
type unusableError struct{ error }

func (e unusableError) Unwrap() error { return e.error }

// unreached says why there was no answer, without the address: it may hold a secret.
func unreached(ctx context.Context, err error) error {
	var refused *net.OpError
	var untrusted *tls.CertificateVerificationError
	switch {
	case ctx.Err() != nil:
		return errors.New("it did not answer in time")
	case errors.As(err, &refused) && refused.Op == "dial":
		cause := "there is no way to its address"
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			cause = "nothing listens at its address"
		case refused.Timeout():
			cause = "its address does not answer"
		}
		return awayError{errors.New("it cannot be reached: " + cause)}
	case errors.As(err, &untrusted):
		return awayError{errors.New("its certificate is not trusted here, or is another host's")}
	default:
		return awayError{errors.New("the connection to it failed, before it answered")}
	}
}

// request writes a push as WeChat does, with a timestamp of now.
func (s *subscriber) request(ctx context.Context, m *callback.Message, text string) (*http.Request, error) {
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	nonce := strconv.FormatUint(uint64(mathrand.Uint32()), 10)
	query := url.Values{"timestamp": {timestamp}, "nonce": {nonce}}
	if s.agent == "" { // WeCom sends none of these
		query.Set("signature", callback.Signature(s.Token.Reveal(), timestamp, nonce))
		if m.FromUserName != "" {
			query.Set("openid", m.FromUserName)
		}
		if s.Mode != Plain {
			query.Set("encrypt_type", "aes")
		}
	}
	body := text
	if s.Mode != Plain {
		envelope, err := s.verifier.Seal(callback.Pair{}, timestamp, nonce, []byte(text))
		if err != nil {
			return nil, errors.New("the push cannot be encrypted for it")
		}
		query.Set("msg_signature", envelope.MsgSignature)
		if body, err = s.wrap(m, text, envelope.Encrypt); err != nil {
			return nil, err
		}
	}
	target := *s.url
	target.RawQuery = query.Encode()
	if s.url.RawQuery != "" {
		target.RawQuery = s.url.RawQuery + "&" + target.RawQuery
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), strings.NewReader(body))
	if err != nil {
		return nil, errors.New("the push cannot be sent to its address")
	}
	r.Header.Set("Content-Type", "text/xml") // with JSON too, as WeChat has it
	r.Header.Set("User-Agent", "zhongkong")
	return r, nil
}

// wrap puts Encrypt into a body, in compatible mode next to the plain fields. WeCom's envelope
// names the app.
func (s *subscriber) wrap(m *callback.Message, text, encrypt string) (string, error) {
	to := strings.NewReplacer("]]>", "", "<", "", `"`, "", `\`, "").Replace(m.ToUserName) // it has none of them
	element, end := "<Encrypt><![CDATA["+encrypt+"]]></Encrypt>\n", "</xml>"
	front := "<xml>\n<ToUserName><![CDATA[" + to + "]]></ToUserName>\n"
	if m.JSON && s.agent == "" { // JSON is what WeCom's bots get, and no app
		element, end, front = `,"Encrypt":"`+encrypt+`"`, "}", `{"ToUserName":"`+to+`"`
	}
	if s.agent != "" {
		element += "<AgentID><![CDATA[" + s.agent + "]]></AgentID>\n"
	}
	if s.Mode == Safe {
		return front + element + end, nil
	}
	at := strings.LastIndex(text, end)
	if at < 0 || len(m.Fields) == 0 {
		return "", errors.New("the push has no end to put Encrypt before: choose safe mode for it")
	}
	return text[:at] + element + text[at:], nil
}

// reply reads what a subscriber answered, and returns what is passed on to WeChat: an XML
// or JSON object of any kind, since some events want others than passive replies, that
// came in the mode of the subscriber. A passive reply has to be one.
func (s *subscriber) reply(m *callback.Message, body []byte) ([]byte, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\uFEFF")))
	switch {
	case len(body) == 0, string(body) == "success":
		return nil, nil
	case len(body) > callback.MaxBody:
		return nil, fmt.Errorf("its answer is longer than %d bytes", callback.MaxBody)
	}
	answer, err := readAnswer(body)
	if err != nil {
		return nil, errors.New("its answer is neither success, nor empty, nor XML or JSON for WeChat")
	}
	encrypted := answer.Fields.Get("Encrypt") != ""
	switch {
	case encrypted && s.Mode == Plain:
		return nil, errors.New("its answer is encrypted, but its mode is plain")
	case !encrypted && s.Mode == Safe:
		return nil, errors.New("its answer is in plain text, but its mode is safe: it has to encrypt what it replies, apart from success")
	case encrypted:
		envelope := callback.Query{
			MsgSignature: answer.Fields.Get("MsgSignature"), Timestamp: answer.Fields.Get("TimeStamp"), Nonce: answer.Fields.Get("Nonce"),
		}
		if body, _, err = s.verifier.Open(envelope, body); err != nil {
			return nil, fmt.Errorf("its answer cannot be opened: %w", err)
		}
		if answer, err = readAnswer(body); err != nil {
			return nil, errors.New("what it encrypted is neither XML nor JSON for WeChat")
		}
	}
	return body, checkPassive(m, answer)
}

var errNoAnswer = errors.New("no answer for WeChat")

// readAnswer takes JSON objects, and XML whose root is <xml>: a proxy's page is none.
func readAnswer(body []byte) (*callback.Message, error) {
	if rest, isXML := bytes.CutPrefix(body, []byte("<?xml ")); isXML {
		if _, rest, isXML = bytes.Cut(rest, []byte("?>")); isXML {
			body = bytes.TrimSpace(rest)
		}
	}
	if !bytes.HasPrefix(body, []byte("{")) && !bytes.HasPrefix(body, []byte("<xml>")) && !bytes.HasPrefix(body, []byte("<xml ")) {
		return nil, errNoAnswer
	}
	return callback.ParseMessage(body)
}

// passive are the MsgTypes of replies that a follower sees.
var passive = []callback.Type{
	callback.TypeText, callback.TypeImage, callback.TypeVoice, callback.TypeVideo,
	callback.TypeMusic, callback.TypeNews, callback.TypeTransfer,
}

// checkPassive says what WeChat would not take of a passive reply to m.
func checkPassive(m, answer *callback.Message) error {
	switch {
	case !slices.Contains(passive, answer.Type):
		return nil
	case answer.JSON && !m.JSON:
		return errors.New("it replied in JSON to a message in XML, which WeChat does not take")
	case answer.ToUserName != m.FromUserName || answer.FromUserName != m.ToUserName:
		return errors.New("its reply is not from the account to the follower: ToUserName and FromUserName have to be those of the message, swapped")
	}
	return nil
}
