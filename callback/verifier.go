package callback

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Secret is a string that is only ever revealed on purpose. Package
// custody's Secret is one, and prints nowhere.
type Secret interface{ Reveal() string }

// Config says what [NewVerifier] is to verify against. It holds what is in
// the console under 消息推送 (message push). Printed, it shows what its Secrets
// show of themselves: with those of package custody, nothing.
type Config struct {
	// AppID is the account's own: encrypted messages name for whom they are. A
	// third-party platform gives its component appid. Needed with an AESKey.
	AppID string

	// WeCom verifies what 企业微信 (WeCom) sends: the echostr of an address verification is
	// encrypted too, and no plain signature comes. Needs an AESKey.
	WeCom bool

	// Receivers are the receive ids that encrypted messages may carry, instead of AppID: for
	// WeCom the corpid, a suite's id, and "" for a bot (智能机器人), whose messages carry none. An
	// answer carries the id of its message. None: AppID alone.
	Receivers []string

	// Token is the one of the console, which asks for 3 to 32 letters and digits.
	// Any other that is not empty works here too. Needed.
	Token Secret

	// TokenPrevious is accepted besides Token while a change of the Token reaches
	// all of WeChat's servers. Unset: none is.
	TokenPrevious Secret

	// AESKey is the console's EncodingAESKey of 43 letters and digits. It decides
	// the mode: set, only encrypted messages are accepted, whatever the request
	// says about itself (safe and compatible mode); unset, only plain ones.
	AESKey Secret

	// AESKeyPrevious is tried on what AESKey does not open. Unset: none is.
	AESKeyPrevious Secret

	// Freshness is how far a push's timestamp may lie from now, in either
	// direction; at least 5 minutes is sensible, since it is not known whether
	// WeChat's repetitions carry new timestamps. 0: not checked. Address
	// verifications may have any age.
	Freshness time.Duration

	// Now is the clock that Freshness is measured with. nil: [time.Now].
	Now func() time.Time
}

// Verifier tells WeChat's requests from others. It is made by [NewVerifier] and
// is safe for concurrent use. The zero Verifier refuses everything, which is
// right for an account that has no Token.
type Verifier struct {
	appID     string
	receivers []string
	weCom     bool
	freshness time.Duration
	now       func() time.Time

	// ring sits behind a func so that nothing that prints or walks a Verifier,
	// or a struct around it, meets the Token.
	ring func() *ring

	seen *bodies // of plain mode
}

// ring holds the current and, where there is one, the previous of each.
type ring struct {
	tokens  []string
	keys    []*aesKey
	secrets []string // what keys were made of, or tokens
}

// NewVerifier returns an error that names the field, and never its value, when
// config cannot work.
func NewVerifier(config Config) (*Verifier, error) {
	r := new(ring)
	for _, secret := range []Secret{config.Token, config.TokenPrevious} {
		if token := reveal(secret); token != "" {
			r.tokens = append(r.tokens, token)
		}
	}
	for _, secret := range []struct {
		field string
		Secret
	}{{"AESKey", config.AESKey}, {"AESKeyPrevious", config.AESKeyPrevious}} {
		encoded := reveal(secret.Secret)
		if encoded == "" {
			continue
		}
		key, err := parseAESKey(encoded)
		if err != nil {
			return nil, &ConfigError{Field: secret.field, reason: ": " + err.Error(), err: err}
		}
		r.keys, r.secrets = append(r.keys, key), append(r.secrets, encoded)
	}
	switch {
	case reveal(config.Token) == "":
		return nil, &ConfigError{Field: "Token", reason: " is empty: without it anybody could sign"}
	case len(r.keys) > 0 && reveal(config.AESKey) == "":
		return nil, &ConfigError{Field: "AESKeyPrevious", reason: " is set without ", other: "AESKey"}
	case len(r.keys) == 0 && config.WeCom:
		return nil, &ConfigError{Field: "AESKey", reason: " is empty: WeCom encrypts all that it sends"}
	case len(r.keys) > 0 && config.AppID == "" && len(config.Receivers) == 0:
		return nil, &ConfigError{Field: "AppID", reason: " is empty: with an AESKey it is compared with every message's"}
	case config.Freshness < 0:
		return nil, &ConfigError{Field: "Freshness", reason: " is negative"}
	}
	if len(r.keys) == 0 {
		r.secrets = r.tokens
	}
	now := config.Now
	if now == nil {
		now = time.Now
	}
	receivers := slices.Clone(config.Receivers)
	if len(receivers) == 0 {
		receivers = []string{config.AppID}
	}
	return &Verifier{
		appID:     config.AppID,
		receivers: receivers,
		weCom:     config.WeCom,
		freshness: config.Freshness,
		now:       now,
		ring:      func() *ring { return r },
		seen:      new(bodies),
	}, nil
}

// ConfigError says which field of a [Config] cannot work.
type ConfigError struct {
	Field string // such as "AESKey"

	reason, other string // the text after the field's name, and that after another field's
	err           error
}

// Error names the fields as Config does.
func (e *ConfigError) Error() string {
	return "callback: " + e.Sentence(func(field string) string { return "Config." + field })
}

// Unwrap returns what is wrong with the form of a key, nil for anything else.
func (e *ConfigError) Unwrap() error { return e.err }

// Sentence says what is wrong with names of the caller's own for the fields.
func (e *ConfigError) Sentence(name func(field string) string) string {
	text := name(e.Field) + e.reason
	if e.other != "" {
		text += name(e.other)
	}
	return text
}

func reveal(s Secret) string {
	if s == nil {
		return ""
	}
	return s.Reveal()
}

// Pair tells which of the configured secrets a message was verified and opened
// with; the answer is sealed with the same ones. It holds no secret: a log line
// that shows it tells when a change of the Token or the key is through.
type Pair struct {
	Encrypted     bool // the message was; its answer must be too, apart from "success"
	TokenPrevious bool // verified with Config.PreviousToken
	KeyPrevious   bool // opened with Config.PreviousAESKey

	receiver int // among Config.Receivers
}

// VerifyURL checks an address verification, which WeChat sends by GET, and
// returns what to answer: the echostr byte for byte, as text/plain. It is in
// plain text in every mode, and no signature covers the echostr: somebody who
// has seen one signature can have anything echoed.
//
// WeCom encrypts and signs it: what is returned is what was inside, if it is for one of
// Config.Receivers.
func (v *Verifier) VerifyURL(q Query) (echo string, err error) {
	r, err := v.configured()
	if err != nil {
		return "", err
	}
	if v.weCom {
		return v.verifySealed(r, q)
	}
	if _, err := r.verify(q); err != nil {
		return "", err
	}
	if q.EchoStr == "" {
		return "", missing("echostr")
	}
	return q.EchoStr, nil
}

// verifySealed is VerifyURL of WeCom.
func (v *Verifier) verifySealed(r *ring, q Query) (echo string, err error) {
	if q.EchoStr == "" {
		return "", missing("echostr")
	}
	// Base64 has no spaces: one is a + that came without its percent encoding.
	encrypt := []byte(strings.ReplaceAll(q.EchoStr, " ", "+"))
	token, err := r.verifyMsg(q, encrypt)
	if err != nil {
		return "", err
	}
	message, _, err := v.unseal(r, new(room), encrypt, token)
	if err != nil {
		return "", err
	}
	// One signature covers echostr and push alike: a push that somebody has seen must not be
	// opened here.
	if echo = string(message); len(echo) > maxEcho || strings.ContainsAny(echo, "<{") {
		return "", refuse(ReasonMessage, "what the echostr holds is no random number: somebody sends a push or an answer as an address verification")
	}
	return echo, nil
}

// maxEcho is how long what WeCom asks to be echoed may be: about twenty digits.
const maxEcho = 64

// Open verifies a push, which WeChat sends by POST, and returns the message in
// plain text, XML or JSON, and what it was opened with. Without an AES key the
// message is body itself, which no signature covers: the first body under a
// signature is taken, and no other one is as long as the signature is fresh
// (24 hours if that is not checked). Other processes do not know of it; an
// [Endpoint] with a store tells them.
//
// With an AES key nothing but the Encrypt of the body's envelope is read, and it
// is not decrypted before msg_signature is found right.
func (v *Verifier) Open(q Query, body []byte) (message []byte, pair Pair, err error) {
	message, pair, err = v.open(new(room), q, body)
	return v.inTime(q, message, pair, err)
}

// inTime returns what was opened, or nothing of what came too late.
func (v *Verifier) inTime(q Query, message []byte, pair Pair, err error) ([]byte, Pair, error) {
	if err == nil {
		err = v.stale(q, pair)
	}
	if err != nil {
		return nil, Pair{}, err
	}
	return message, pair, nil
}

// open is Open, but that an encrypted push may have any age; the message is good until
// room is used again.
func (v *Verifier) open(room *room, q Query, body []byte) (message []byte, pair Pair, err error) {
	r, err := v.configured()
	if err != nil {
		return nil, Pair{}, err
	}
	if len(body) > MaxBody {
		return nil, Pair{}, refuse(ReasonBodyTooLarge, "the body is larger than "+strconv.Itoa(MaxBody)+
			" bytes: WeChat did not send this")
	}
	if len(r.keys) == 0 {
		return v.openPlain(r, q, body)
	}
	return v.openSealed(r, room, q, body)
}

func (v *Verifier) openPlain(r *ring, q Query, body []byte) ([]byte, Pair, error) {
	token, err := r.verify(q)
	if err != nil {
		return nil, Pair{}, err
	}
	if err := v.fresh(q.Timestamp); err != nil {
		return nil, Pair{}, err
	}
	if q.EncryptType != "" && q.EncryptType != "raw" {
		return nil, Pair{}, refuse(ReasonNoAESKey, "the message is encrypted, but no AES key is configured: "+
			"set it to the EncodingAESKey of the console, or choose plain mode (明文模式) there")
	}
	if !v.seen.same(v.now(), v.memory(), q.Signature, body) {
		return nil, Pair{}, ErrReused
	}
	return body, Pair{TokenPrevious: token > 0}, nil
}

// ErrReused is the refusal of a body that came second under one signature.
var ErrReused = refuse(ReasonReused, "another body came under the same timestamp and nonce: somebody saw a signature of "+
	"WeChat's and uses it; choose safe mode (安全模式) in the console, in which msg_signature covers the body")

// memory is how long a plain signature could be used again.
func (v *Verifier) memory() time.Duration {
	if v.freshness == 0 {
		return bodiesLife
	}
	return 2 * v.freshness
}

func (v *Verifier) openSealed(r *ring, room *room, q Query, body []byte) ([]byte, Pair, error) {
	encrypt, err := findNamed(body, envelopeNames(v.weCom)[0])
	if err != nil {
		return nil, Pair{}, err
	}
	token, err := r.verifyMsg(q, encrypt)
	if err != nil {
		return nil, Pair{}, err
	}
	return v.unseal(r, room, encrypt, token)
}

// unseal decrypts what msg_signature was found right for.
func (v *Verifier) unseal(r *ring, room *room, encrypt []byte, token int) ([]byte, Pair, error) {
	var refusal error
	for i, key := range r.keys {
		message, receiver, err := key.open(room, encrypt)
		index := slices.Index(v.receivers, string(receiver))
		switch {
		case err == nil && index >= 0:
			return message, Pair{Encrypted: true, TokenPrevious: token > 0, KeyPrevious: i > 0, receiver: index}, nil
		case err == nil:
			// Whatever another key makes of it, this one opened it.
			return nil, Pair{}, refuse(ReasonAppID, v.notFor(receiver))
		case errors.Is(err, errCiphertext):
			return nil, Pair{}, refuse(ReasonCiphertext, "the body's Encrypt is not base64 of whole AES blocks, though "+
				"msg_signature matches: the sender knows the Token, but is not WeChat")
		default:
			refusal = refuse(ReasonAESKey, "the body's Encrypt does not open, though msg_signature matches: "+
				"the Token is right, but the AES key differs from the EncodingAESKey in the console")
		}
	}
	return nil, Pair{}, refusal
}

// notFor says that a message is somebody else's.
func (v *Verifier) notFor(receiver []byte) string {
	if v.weCom {
		return fmt.Sprintf("the message is encrypted for the receive id %.64q, which is none of %q: "+
			"correct the CorpID or the set of receive ids here, or the URL in the other app's console", receiver, v.receivers)
	}
	return fmt.Sprintf("the message is encrypted for the appid %.64q, not for %q: "+
		"correct the AppID here, or the URL in the other account's console", receiver, v.receivers[0])
}

// Forget takes back that Open has seen a plain push under q's signature. Call it if a
// shared store says that another body came under that signature first: the one that Open
// has seen is a forgery then, and would keep the first one out.
func (v *Verifier) Forget(q Query) { v.seen.forget(q.Signature) }

// Envelope is an encrypted message with its signature: as an answer to WeChat
// its four values travel in the body, in a push all but Encrypt in the query.
type Envelope struct {
	Encrypt      string
	MsgSignature string
	TimeStamp    string
	Nonce        string

	weCom bool
}

// Seal encrypts and signs message with pair, the one that [Verifier.Open]
// returned with the message that is answered; the zero Pair stands for the
// current Token and key. timestamp is the sender's choice, nonce the one of the
// request. A bare "success" must not be sealed: WeChat reads it in plain text
// only.
func (v *Verifier) Seal(pair Pair, timestamp, nonce string, message []byte) (Envelope, error) {
	room := getRoom()
	defer room.leave()
	encrypt, signature, err := v.seal(room, pair, timestamp, nonce, message)
	if err != nil {
		return Envelope{}, err
	}
	return Envelope{Encrypt: string(encrypt), MsgSignature: string(signature[:]), TimeStamp: timestamp, Nonce: nonce, weCom: v.weCom}, nil
}

// seal returns what of an envelope is not in its arguments; encrypt is good until
// room is used again.
func (v *Verifier) seal(
	room *room, pair Pair, timestamp, nonce string, message []byte,
) (encrypt []byte, signature [signatureLen]byte, err error) {
	r, err := v.configured()
	if err != nil {
		return nil, signature, err
	}
	token, key := index(pair.TokenPrevious), index(pair.KeyPrevious)
	if token >= len(r.tokens) || key >= len(r.keys) {
		return nil, signature, errors.New("callback: no such Token or AES key is configured to seal with")
	}
	if len(message) > MaxBody {
		return nil, signature, fmt.Errorf("callback: a message of %d bytes is too large to seal", len(message))
	}
	var random [randomLen]byte
	_, _ = rand.Read(random[:]) // never fails
	if pair.receiver >= len(v.receivers) {
		return nil, signature, errors.New("callback: the message that is answered was opened by another Verifier")
	}
	encrypt = r.keys[key].seal(room, random, message, v.receivers[pair.receiver])
	sum := sumMsg(r.tokens[token], timestamp, nonce, encrypt)
	hex.Encode(signature[:], sum[:])
	return encrypt, signature, nil
}

// sealBody returns message in an envelope as the body of an answer, good until
// room is used again.
func (v *Verifier) sealBody(room *room, pair Pair, now time.Time, nonce string, message []byte, asJSON bool) ([]byte, error) { //nolint:revive,lll // a struct for one caller would not be clearer
	encrypt, signature, err := v.seal(room, pair, strconv.FormatInt(now.Unix(), 10), nonce, message)
	if err != nil {
		return nil, err
	}
	w := newWriter(asJSON, slices.Grow(room.body[:0], 256+len(encrypt)))
	names := envelopeNames(v.weCom && asJSON)
	w.bytes(names[0], encrypt)
	w.bytes(names[1], signature[:])
	w.number(names[2], now.Unix())
	w.text(names[3], nonce)
	room.body = w.end()
	return room.body, nil
}

func index(previous bool) int {
	if previous {
		return 1
	}
	return 0
}

func (v *Verifier) configured() (*ring, error) {
	if v.ring == nil {
		return nil, refuse(ReasonNoToken, "no Token is configured: set it to the Token of the console's message push (消息推送)")
	}
	return v.ring(), nil
}

// verify checks the plain signature and returns the index of the token.
func (r *ring) verify(q Query) (token int, err error) {
	switch "" {
	case q.Signature:
		return 0, missing("signature")
	case q.Timestamp:
		return 0, missing("timestamp")
	case q.Nonce:
		return 0, missing("nonce")
	}
	for i, token := range r.tokens {
		if CheckSignature(token, q.Timestamp, q.Nonce, q.Signature) {
			return i, nil
		}
	}
	return 0, refuse(ReasonSignature, "signature does not match: the Token differs from the one in the console, "+
		"or WeChat did not send this")
}

// verifyMsg checks msg_signature and returns the index of the token.
func (r *ring) verifyMsg(q Query, encrypt []byte) (token int, err error) {
	switch "" {
	case q.MsgSignature:
		return 0, missing("msg_signature")
	case q.Timestamp:
		return 0, missing("timestamp")
	case q.Nonce:
		return 0, missing("nonce")
	}
	for i, token := range r.tokens {
		if equalHex(sumMsg(token, q.Timestamp, q.Nonce, encrypt), q.MsgSignature) {
			return i, nil
		}
	}
	return 0, refuse(ReasonMsgSignature, "msg_signature does not match: the Token differs from the one in the console, "+
		"or a proxy changed the body, or WeChat did not send this")
}

func missing(parameter string) error {
	return refuseParameter(ReasonMissing, parameter, parameter+" is missing from the query: "+
		"WeChat did not send this, or a proxy drops the query")
}

// fresh checks a timestamp that a signature covers.
func (v *Verifier) fresh(timestamp string) error {
	if v.freshness == 0 {
		return nil
	}
	// A leading zero would be another spelling of the same second, made by moving
	// bytes from the neighbouring value. 33 bits last until the year 2242.
	seconds, err := strconv.ParseUint(timestamp, 10, 33)
	if err != nil || timestamp[0] == '0' {
		return refuseParameter(ReasonTimestamp, "timestamp", "timestamp is not a number of seconds: WeChat did not send this")
	}
	age := v.now().Sub(time.Unix(int64(seconds), 0)).Round(time.Second)
	switch {
	case age > v.freshness:
		return refuseParameter(ReasonStale, "timestamp", fmt.Sprintf("timestamp is %s old, more than %s: "+
			"somebody repeats an old push, or this machine's clock is fast", age, v.freshness))
	case age < -v.freshness:
		return refuseParameter(ReasonStale, "timestamp", fmt.Sprintf("timestamp lies %s in the future, more than %s: "+
			"this machine's clock is slow", -age, v.freshness))
	}
	return nil
}
