package gateway

import (
	"errors"
	"fmt"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/shape"
)

// What of a configuration file is about callbacks.
type (
	callbackFile struct {
		Token          secretSource     `yaml:"token"`
		PreviousToken  secretSource     `yaml:"previous_token"`
		AESKey         secretSource     `yaml:"aes_key"`
		PreviousAESKey secretSource     `yaml:"previous_aes_key"`
		Mode           string           `yaml:"mode"`
		Subscribers    []subscriberFile `yaml:"subscribers"`
	}
	subscriberFile struct {
		Name   string       `yaml:"name"`
		URL    string       `yaml:"url"`
		Token  secretSource `yaml:"token"`
		AESKey secretSource `yaml:"aes_key"`
		Mode   string       `yaml:"mode"`
		When   struct {
			Type     []string `yaml:"type"`
			Event    []string `yaml:"event"`
			Key      string   `yaml:"key"`
			Follower []string `yaml:"follower"`
		} `yaml:"when"`
	}
)

// secretAt is a secret of a file, and where it stands below the account.
type secretAt struct {
	path string
	secretSource
}

// secrets are all of an account's.
func (f accountFile) secrets() []secretAt {
	all := []secretAt{{".secret", f.Secret}}
	if c := f.Callback; c != nil {
		all = append(
			all,
			secretAt{".callback.token", c.Token}, secretAt{".callback.previous_token", c.PreviousToken},
			secretAt{".callback.aes_key", c.AESKey}, secretAt{".callback.previous_aes_key", c.PreviousAESKey},
		)
		for i, s := range c.Subscribers {
			path := fmt.Sprintf(".callback.subscribers[%d]", i)
			all = append(all, secretAt{path + ".token", s.Token}, secretAt{path + ".aes_key", s.AESKey})
		}
	}
	return all
}

// foreign returns where the first secret stands that is not in the file itself.
func (f accountFile) foreign() (path string, found bool) {
	for _, s := range f.secrets() {
		if s.env != "" || s.file != "" {
			return s.path, true
		}
	}
	return "", false
}

// read returns the Callback of a file. An error is a [*fieldError].
func (c *callbackFile) read(folder string, env func(string) (string, bool)) (*Callback, error) {
	var failed error
	read := func(path string, s secretSource) (secret custody.Secret) {
		if s.isZero() {
			return secret
		}
		secret, err := s.read(folder, env)
		if err != nil && failed == nil {
			failed = &fieldError{path, err}
		}
		return secret
	}
	out := &Callback{
		Token: read(".token", c.Token), PreviousToken: read(".previous_token", c.PreviousToken),
		AESKey: read(".aes_key", c.AESKey), PreviousAESKey: read(".previous_aes_key", c.PreviousAESKey),
		Mode: Mode(c.Mode),
	}
	for i, s := range c.Subscribers {
		path := fmt.Sprintf(".subscribers[%d]", i)
		out.Subscribers = append(out.Subscribers, Subscriber{
			Name: s.Name, URL: s.URL, Token: read(path+".token", s.Token), AESKey: read(path+".aes_key", s.AESKey), Mode: Mode(s.Mode),
			When: Rule{Types: s.When.Type, Events: s.When.Event, Key: s.When.Key, Followers: s.When.Follower},
		})
	}
	return out, failed
}

// check says what is wrong with a callback that somebody wrote, by a [*fieldError].
func (c *Callback) check(appID string) error {
	for i, s := range c.Subscribers {
		names := [...]string{"token", "aes_key"}
		err := shape.Check(
			shape.Field{Name: names[0], Kind: shape.Token, Value: s.Token.Reveal()},
			shape.Field{Name: names[1], Kind: shape.AESKey, Value: s.AESKey.Reveal()},
		)
		if e, ok := errors.AsType[*shape.Error](err); ok {
			return &fieldError{fmt.Sprintf(".subscribers[%d].%s", i, names[e.Index]), e}
		}
	}
	_, err := newReceiver(appID, c)
	return err
}

// storedCallback is a Callback of the admin API, inside the seal.
type storedCallback struct {
	Token          string             `json:"token"`
	PreviousToken  string             `json:"previous_token,omitempty"`
	AESKey         string             `json:"aes_key,omitempty"`
	PreviousAESKey string             `json:"previous_aes_key,omitempty"`
	Mode           Mode               `json:"mode,omitempty"`
	Subscribers    []storedSubscriber `json:"subscribers"`
}

type storedSubscriber struct {
	Name   string `json:"name"`
	URL    string `json:"url"`
	Token  string `json:"token"`
	AESKey string `json:"aes_key,omitempty"`
	Mode   Mode   `json:"mode,omitempty"`
	When   Rule   `json:"when"`
}

func storeCallback(c *Callback) *storedCallback {
	if c == nil {
		return nil
	}
	s := &storedCallback{
		Token: c.Token.Reveal(), PreviousToken: c.PreviousToken.Reveal(),
		AESKey: c.AESKey.Reveal(), PreviousAESKey: c.PreviousAESKey.Reveal(), Mode: c.Mode,
	}
	for _, sub := range c.Subscribers {
		s.Subscribers = append(s.Subscribers, storedSubscriber{sub.Name, sub.URL, sub.Token.Reveal(), sub.AESKey.Reveal(), sub.Mode, sub.When})
	}
	return s
}

func (s *storedCallback) open() *Callback {
	if s == nil {
		return nil
	}
	c := &Callback{
		Token: custody.NewSecret(s.Token), PreviousToken: custody.NewSecret(s.PreviousToken),
		AESKey: custody.NewSecret(s.AESKey), PreviousAESKey: custody.NewSecret(s.PreviousAESKey), Mode: s.Mode,
	}
	for _, sub := range s.Subscribers {
		token, key := custody.NewSecret(sub.Token), custody.NewSecret(sub.AESKey)
		c.Subscribers = append(c.Subscribers, Subscriber{sub.Name, sub.URL, token, key, sub.Mode, sub.When})
	}
	return c
}
