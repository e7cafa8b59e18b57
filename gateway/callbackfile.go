package gateway

import (
	"fmt"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
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
		Title  string       `yaml:"title"`
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
	if f.Signing != nil {
		return ".signing", true
	}
	return "", false
}

// read returns the Callback of a file. An error is a [*fanout.FieldError].
func (c *callbackFile) read(folder string, env func(string) (string, bool)) (*Callback, error) {
	var failed error
	read := func(path string, s secretSource) (secret custody.Secret) {
		if s.isZero() {
			return secret
		}
		secret, err := s.read(folder, env)
		if err != nil && failed == nil {
			failed = &fanout.FieldError{Field: path, Err: err}
		}
		return secret
	}
	out := &Callback{
		Token: read(".token", c.Token), PreviousToken: read(".previous_token", c.PreviousToken),
		AESKey: read(".aes_key", c.AESKey), PreviousAESKey: read(".previous_aes_key", c.PreviousAESKey),
		Mode: fanout.Mode(c.Mode),
	}
	for i, s := range c.Subscribers {
		path := fmt.Sprintf(".subscribers[%d]", i)
		out.Subscribers = append(out.Subscribers, Subscriber{
			Name: s.Name, Title: s.Title, URL: s.URL,
			Token: read(path+".token", s.Token), AESKey: read(path+".aes_key", s.AESKey), Mode: fanout.Mode(s.Mode),
			When: Rule{Types: s.When.Type, Events: s.When.Event, Key: s.When.Key, Followers: s.When.Follower},
		})
	}
	return out, failed
}
