package gateway

import (
	"encoding/json"
	"strings"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/store"
)

// The admin API's accounts are one document of the store, sealed.
const (
	kindAccounts = "accounts"
	accountsName = "admin"
)

// sealedAccounts is the document in which the store keeps the admin API's accounts.
type sealedAccounts struct {
	KeyID  string `json:"seal_key"`
	Sealed string `json:"sealed"`
}

// storedAccount is one of them, inside the seal.
type storedAccount struct {
	Name         string            `json:"name,omitempty"`
	AppID        string            `json:"appid"`
	Secret       string            `json:"secret"`
	TokenAPI     platform.TokenAPI `json:"token_api"`
	DailyFetches int               `json:"daily_fetches,omitempty"`
	Callback     *storedCallback   `json:"callback,omitempty"`
}

// storedList is what is sealed. Number grows with each list, so that an older document
// that somebody has put back is known as such. Before there were numbers, the list stood
// there by itself.
type storedList struct {
	Number   int64           `json:"number"`
	Accounts []storedAccount `json:"accounts"`
}

// sealAccounts returns the document of accounts, without its version.
func sealAccounts(sealKeys []custody.Secret, number int64, list []Account) (store.Document, error) {
	doc := store.Document{Kind: kindAccounts, Name: accountsName}
	stored := make([]storedAccount, len(list))
	for i, a := range list {
		stored[i] = storedAccount{a.Name, a.AppID, a.Secret.Reveal(), a.TokenAPI, a.DailyFetches, storeCallback(a.Callback)}
	}
	text, err := json.Marshal(storedList{number, stored})
	if err != nil {
		return doc, err
	}
	sealed, keyID, err := custody.Seal(sealKeys, kindAccounts, custody.NewSecret(string(text)))
	if err != nil {
		return doc, err
	}
	doc.Body, err = json.Marshal(sealedAccounts{keyID, sealed})
	return doc, err
}

// openAccounts returns the accounts of the document, and its number.
func openAccounts(sealKeys []custody.Secret, doc store.Document) (list []Account, number int64, err error) {
	if doc.Body == nil {
		return nil, 0, nil
	}
	var sealed sealedAccounts
	if err := json.Unmarshal(doc.Body, &sealed); err != nil {
		return nil, 0, named.Errorf("gateway", "the stored accounts are damaged: put them again")
	}
	text, err := custody.Unseal(sealKeys, kindAccounts, sealed.Sealed, sealed.KeyID)
	if err != nil {
		return nil, 0, named.Errorf("gateway", "the stored accounts cannot be opened: %w", err)
	}
	var stored storedList
	into := any(&stored)
	if strings.HasPrefix(text.Reveal(), "[") {
		into = &stored.Accounts
	}
	if err := json.Unmarshal([]byte(text.Reveal()), into); err != nil {
		return nil, 0, named.Errorf("gateway", "the stored accounts are damaged: put them again")
	}
	list = make([]Account, len(stored.Accounts))
	for i, a := range stored.Accounts {
		list[i] = Account{
			Name:         shape.Shown(a.Name),
			AppID:        a.AppID,
			Secret:       custody.NewSecret(a.Secret),
			TokenAPI:     a.TokenAPI,
			DailyFetches: a.DailyFetches,
			Callback:     a.Callback.open(),
		}
	}
	return list, stored.Number, nil
}

// storedCallback is a Callback of the admin API, inside the seal.
type storedCallback struct {
	Token          string             `json:"token"`
	PreviousToken  string             `json:"previous_token,omitempty"`
	AESKey         string             `json:"aes_key,omitempty"`
	PreviousAESKey string             `json:"previous_aes_key,omitempty"`
	Mode           fanout.Mode        `json:"mode,omitempty"`
	Subscribers    []storedSubscriber `json:"subscribers"`
}

type storedSubscriber struct {
	Name   string      `json:"name"`
	Title  string      `json:"title,omitempty"`
	URL    string      `json:"url"`
	Token  string      `json:"token"`
	AESKey string      `json:"aes_key,omitempty"`
	Mode   fanout.Mode `json:"mode,omitempty"`
	When   Rule        `json:"when"`
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
		s.Subscribers = append(s.Subscribers, storedSubscriber{
			sub.Name, sub.Title, sub.URL, sub.Token.Reveal(), sub.AESKey.Reveal(), sub.Mode, sub.When,
		})
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
		c.Subscribers = append(c.Subscribers, Subscriber{
			Name: sub.Name, Title: shape.Shown(sub.Title), URL: sub.URL, Token: token, AESKey: key, Mode: sub.Mode, When: sub.When,
		})
	}
	return c
}
