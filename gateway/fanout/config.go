package fanout

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/store"
)

// Mode is how pushes are encrypted (消息加解密方式).
type Mode string

// The modes.
const (
	Plain      Mode = "plain"      // 明文模式
	Compatible Mode = "compatible" // 兼容模式: plain fields and Encrypt side by side
	Safe       Mode = "safe"       // 安全模式: Encrypt alone
)

// Callback is what stands in an account's console under 消息推送 (message push), where
// its address is this gateway's /callback/APPID, and who gets the pushes. Of an app of WeCom
// it is the app's 接收消息, the address ends in corpid:agentid, and everything is encrypted:
// an AESKey is needed here and for each subscriber, and the Mode is Safe.
type Callback struct {
	Token         custody.Secret // of the console; signs every push, so it is required
	PreviousToken custody.Secret // accepted too, while a change of the Token reaches WeChat

	// AESKey is the EncodingAESKey. With one, only encrypted pushes are accepted,
	// without one only plain ones.
	AESKey         custody.Secret
	PreviousAESKey custody.Secret // tried too

	// Mode is Safe or Compatible with an AESKey, Plain without. Empty means Safe or
	// Plain.
	Mode Mode

	// Subscribers get the pushes that their rules say. The first whose rule does
	// answers the follower.
	Subscribers []Subscriber
}

// Subscriber is a system that gets pushes in WeChat's shape, signed and encrypted
// with keys of its own.
type Subscriber struct {
	Name   string         // letters, digits, '-' and '_'; one of the account, under which its pushes wait
	Title  string         // for people, such as 结算系统; it identifies nothing
	URL    string         // https, or http to this machine or in safe mode; a query of its own stays
	Token  custody.Secret // signs what the subscriber gets: its own, not the one of the console
	AESKey custody.Secret // 43 letters and digits; without it the mode is Plain
	Mode   Mode           // empty means Safe with an AESKey, Plain without
	When   Rule           // which pushes it gets; empty means all
}

// Rule says which pushes a subscriber gets. The zero Rule means all.
type Rule struct {
	// Types are MsgTypes, Events are Events, in whatever case. With both, one of
	// either is enough; "event" among the types means all events.
	Types  []string
	Events []string

	// Key, if not "", wants an event whose EventKey, or scene of a QR code, it
	// matches: * stands for any characters, ? for one.
	Key string

	// Followers, if any, are openids.
	Followers []string
}

// equal reports whether nothing is to be changed.
func (c *Callback) equal(d *Callback) bool {
	if c == nil || d == nil {
		return c == d
	}
	return c.Token.Equal(d.Token) && c.PreviousToken.Equal(d.PreviousToken) &&
		c.AESKey.Equal(d.AESKey) && c.PreviousAESKey.Equal(d.PreviousAESKey) &&
		c.Mode == d.Mode && slices.EqualFunc(c.Subscribers, d.Subscribers, func(s, t Subscriber) bool {
		return s.Title == t.Title && s.equal(t)
	})
}

// equal leaves Title out: its change touches no push.
func (s Subscriber) equal(t Subscriber) bool {
	return s.Name == t.Name && s.URL == t.URL && s.Token.Equal(t.Token) && s.AESKey.Equal(t.AESKey) && s.Mode == t.Mode && s.When.equal(t.When)
}

func (r Rule) equal(s Rule) bool {
	return slices.Equal(r.Types, s.Types) && slices.Equal(r.Events, s.Events) && r.Key == s.Key && slices.Equal(r.Followers, s.Followers)
}

// wants returns the rule as a function.
func (r Rule) wants() func(*callback.Message) bool {
	fold := func(list []string) map[string]bool {
		set := make(map[string]bool, len(list))
		for _, text := range list {
			set[strings.ToLower(text)] = true
		}
		return set
	}
	types, events := fold(r.Types), fold(r.Events)
	followers := make(map[string]bool, len(r.Followers))
	for _, openid := range r.Followers {
		followers[openid] = true
	}
	key := func(string) bool { return true }
	if r.Key != "" {
		key = callback.Pattern(r.Key)
	}
	return func(m *callback.Message) bool {
		event := m.Type == callback.TypeEvent
		kind := len(types)+len(events) == 0 || types[strings.ToLower(string(m.Type))] || event && events[strings.ToLower(string(m.Event))]
		return kind && (len(followers) == 0 || followers[m.FromUserName]) &&
			(r.Key == "" || event && (key(m.EventKey) || m.Scene() != "" && key(m.Scene())))
	}
}

// FieldError is about a field of a Callback.
type FieldError struct {
	Field string // the path to it in a configuration file, such as ".subscribers[0].url"
	Err   error
}

// Error is the text of Err, without the field.
func (e *FieldError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *FieldError) Unwrap() error { return e.Err }

// receiver is an account's Callback at work.
type receiver struct {
	spec        *Callback
	appID       string
	verifier    *callback.Verifier
	subscribers []*subscriber
}

// verifierFor begins the configuration of a Verifier of an account's pushes. Those of an app
// of WeCom are for its corp, and carry msg_signature alone.
func verifierFor(appID string) callback.Config {
	corp, _, isApp := shape.App(appID)
	return callback.Config{AppID: corp, WeCom: isApp}
}

// subscriber is a Subscriber at work.
type subscriber struct {
	Subscriber

	appID    string
	agent    string // of an app of WeCom; "" for any other account
	line     string // in the queue
	url      *url.URL
	verifier *callback.Verifier // opens its answers, and seals what it gets
	wants    func(*callback.Message) bool
}

// Check says what is wrong with a callback that somebody wrote, by a [*FieldError].
func (c *Callback) Check(appID string) error {
	for i, s := range c.Subscribers {
		names := [...]string{"token", "aes_key"}
		err := shape.Check(
			shape.Field{Name: names[0], Kind: shape.Token, Value: s.Token.Reveal()},
			shape.Field{Name: names[1], Kind: shape.AESKey, Value: s.AESKey.Reveal()},
		)
		if e, ok := errors.AsType[*shape.Error](err); ok {
			return &FieldError{fmt.Sprintf(".subscribers[%d].%s", i, names[e.Index]), fmt.Errorf("subscriber %s: %w", s.Name, e)}
		}
	}
	_, err := newReceiver(appID, c)
	return err
}

// newReceiver checks spec. Its error is a *FieldError.
func newReceiver(appID string, spec *Callback) (*receiver, error) {
	config := verifierFor(appID)
	if _, err := modeOf(spec.Mode, spec.AESKey, config.WeCom); err != nil {
		return nil, &FieldError{".mode", err}
	}
	r := &receiver{spec: spec, appID: appID}
	var err error
	config.Token, config.TokenPrevious, config.Freshness = spec.Token, spec.PreviousToken, freshness
	config.AESKey, config.AESKeyPrevious = spec.AESKey, spec.PreviousAESKey
	if r.verifier, err = newVerifier(config); err != nil {
		return nil, err
	}
	if len(spec.Subscribers) == 0 {
		return nil, &FieldError{"", errors.New("callback has no subscribers: nobody would get the pushes")}
	}
	if n := len(spec.Subscribers); n > store.MaxPush {
		return nil, &FieldError{".subscribers", fmt.Errorf("there are %d subscribers: at most %d", n, store.MaxPush)}
	}
	names := map[string]bool{}
	_, agent, _ := shape.App(appID)
	for i, s := range spec.Subscribers {
		at := func(field string, err error) error {
			return &FieldError{fmt.Sprintf(".subscribers[%d]%s", i, field), err}
		}
		switch {
		case s.Name == "":
			return nil, at("", errors.New("the subscriber has no name"))
		case !shape.IsID(s.Name):
			return nil, at(".name", errors.New("the name holds other characters than letters, digits, '-' and '_', or is too long: a name for people is its title"))
		case names[s.Name]:
			return nil, at(".name", fmt.Errorf("the subscriber %s appears twice", s.Name))
		}
		names[s.Name] = true
		if err := shape.Name("title", s.Title); err != nil {
			return nil, at(".title", err)
		}
		if s.URL == "" {
			return nil, at("", fmt.Errorf("the subscriber %s has no url", s.Name))
		}
		config := verifierFor(appID)
		config.Token, config.AESKey = s.Token, s.AESKey
		if s.Mode, err = modeOf(s.Mode, s.AESKey, config.WeCom); err != nil {
			return nil, at(".mode", err)
		}
		target, err := subscriberURL(s.URL, s.Mode)
		if err != nil {
			return nil, at(".url", fmt.Errorf("the url of %s %w", s.Name, err))
		}
		verifier, err := newVerifier(config)
		if err != nil {
			if field, ok := errors.AsType[*FieldError](err); ok {
				return nil, at(field.Field, fmt.Errorf("subscriber %s: %w", s.Name, field.Err))
			}
			return nil, at("", err)
		}
		r.subscribers = append(r.subscribers, &subscriber{
			Subscriber: s, appID: appID, agent: agent, line: lineName(appID, s.Name), url: target, verifier: verifier, wants: s.When.wants(),
		})
	}
	return r, nil
}

func lineName(appID, subscriber string) string { return appID + "/" + subscriber }

// newVerifier puts the names of the configuration file in place of callback's.
func newVerifier(config callback.Config) (*callback.Verifier, error) {
	v, err := callback.NewVerifier(config)
	if err == nil {
		return v, nil
	}
	wrong, ok := errors.AsType[*callback.ConfigError](err)
	if !ok {
		return nil, &FieldError{"", err}
	}
	names := map[string]string{"AESKeyPrevious": "previous_aes_key", "AESKey": "aes_key", "Token": "token", "AppID": "appid"}
	values := map[string]callback.Secret{"AESKeyPrevious": config.AESKeyPrevious, "AESKey": config.AESKey, "Token": config.Token}
	path := ""
	if value := values[wrong.Field]; value != nil && value.Reveal() != "" { // what is empty may have no line
		path = "." + names[wrong.Field]
	}
	return nil, &FieldError{path, errors.New(wrong.Sentence(func(field string) string { return names[field] }))}
}

// modeOf returns the mode that is meant, or why it cannot be. An app of WeCom has safe mode
// alone.
func modeOf(mode Mode, aesKey custody.Secret, isApp bool) (Mode, error) {
	if isApp && (mode == Plain || mode == Compatible) {
		return "", fmt.Errorf("mode is %s: leave it out, since WeCom encrypts all that it sends", mode)
	}
	switch mode {
	case "":
		if aesKey.IsZero() && !isApp {
			return Plain, nil
		}
		return Safe, nil
	case Plain:
		if !aesKey.IsZero() {
			return "", errors.New("mode is plain, but there is an aes_key: take one of the two away")
		}
	case Compatible, Safe:
		if aesKey.IsZero() {
			return "", fmt.Errorf("mode is %s, which needs an aes_key", mode)
		}
	default:
		return "", fmt.Errorf("mode is %s: it must be plain, compatible or safe", shape.Show(string(mode)))
	}
	return mode, nil
}

// subscriberURL reads an address. Its errors do not show it: it may hold a secret.
func subscriberURL(text string, mode Mode) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, errors.New("has to begin with https:// or http:// and a host")
	case u.User != nil:
		return nil, errors.New("has a user in it: the signature says that the gateway sent it; take the user away")
	case u.Fragment != "":
		return nil, errors.New("has a # in it, which is never sent: take it away")
	case u.Scheme == "http" && mode != Safe && !shape.Loopback(u.Hostname()):
		return nil, errors.New("begins with http://, and what followers write would travel in the clear: use https, or mode safe")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}
