package gateway

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/store"
)

// AllAccounts stands in Client.Accounts for every account of the gateway, also those
// to come.
const AllAccounts = "*"

// ErrNoClient is returned by [Clients] for a name that no client has.
var ErrNoClient = errors.New("gateway: there is no such client")

// ErrClientExists is returned by Clients.Add for a name that is taken.
var ErrClientExists = errors.New("gateway: there is a client of that name")

// Client is a program that may use a gateway.
type Client struct {
	// Name is how people, logs and the journal name it: 1 to 64 letters, digits,
	// '-', '_' and '.'.
	Name string `json:"name"`

	// Accounts are the appids that it may use; AllAccounts is all of them. At least
	// one.
	Accounts []string `json:"accounts"`

	// Paths are what it may call: "/cgi-bin/menu/get", or "/cgi-bin/message/*" for
	// all below. Fetching tokens is always allowed. Empty means every path.
	Paths []string `json:"paths,omitempty"`

	// Rate is how many calls it may make in a second, at each gateway; a second's
	// worth may come at once. Fetching tokens counts. 0 means no limit.
	Rate float64 `json:"rate,omitempty"`

	// Real gives it the account's real token in place of a gateway token, for a
	// program that calls WeChat itself: it needs a whitelisted address of its own,
	// and whoever steals that token can use it at WeChat. Each hand-out is in the
	// journal.
	Real bool `json:"real,omitempty"`

	// Ends is when the key stops working. Zero means never.
	Ends time.Time `json:"ends,omitzero"`

	// Created is when it was added. Add sets it.
	Created time.Time `json:"created,omitzero"`
}

func (c Client) validate() error {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}
	switch {
	case c.Name == "" || len(c.Name) > 64 || strings.ContainsFunc(c.Name, odd):
		return fmt.Errorf("gateway: the client's name %s has to be 1 to 64 letters, digits, '-', '_' and '.'", shape.Show(c.Name))
	case len(c.Accounts) == 0:
		return fmt.Errorf("gateway: client %s has no account: name its appids, or %s for all", c.Name, AllAccounts)
	case c.Rate < 0 || math.IsNaN(c.Rate) || math.IsInf(c.Rate, 0):
		return fmt.Errorf("gateway: client %s: the rate %v has to be a number of calls per second, 0 for no limit", c.Name, c.Rate)
	}
	for _, account := range c.Accounts {
		if account != AllAccounts && !isAppID(account) {
			return fmt.Errorf("gateway: client %s: %s is no appid", c.Name, shape.Show(account))
		}
	}
	if _, err := newPathList(c.Paths); err != nil {
		return fmt.Errorf("gateway: client %s: %w", c.Name, err)
	}
	return nil
}

// typed is validate for a client that somebody has just typed: what looks like another
// kind of value is none of its fields. A stored one goes on.
func (c Client) typed() error {
	if err := c.validate(); err != nil {
		return err
	}
	for _, field := range append([]string{c.Name}, c.Accounts...) {
		if strings.HasPrefix(field, keyPrefix) {
			return errors.New("gateway: a client's key stands in the place of a name or an appid: keys are made by the gateway, and shown once")
		}
	}
	for i, account := range c.Accounts {
		if err := shape.Check(shape.Field{Name: fmt.Sprintf("appid %d", i+1), Kind: shape.AppID, Value: account}); err != nil {
			return fmt.Errorf("gateway: the new client: %w", err)
		}
	}
	return nil
}

func isAppID(text string) bool {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}
	return text != "" && len(text) <= maxAppID && !strings.ContainsFunc(text, odd)
}

// The kinds of documents in the store.
const (
	kindClient   = "client"
	kindAccounts = "accounts" // those of the admin API; one document, sealed
)

// storedClient is a client as the store keeps it.
type storedClient struct {
	Client

	ID   string      `json:"id"`
	Keys []storedKey `json:"keys"` // the newest first
}

type storedKey struct {
	Hash  string    `json:"sha256"`
	Until time.Time `json:"until,omitzero"` // of a key that was replaced
}

// Clients adds and revokes the clients of a store. Every act is in the store's
// journal before it is done, and is not done when that cannot be written. The gateways on the store follow
// within five seconds.
type Clients struct {
	ledger store.Ledger
	actor  string
}

// NewClients returns the clients of store in the name of actor, which the journal
// shows, such as "admin zhang@host". A store without [store.Ledger] is an error.
func NewClients(st custody.Store, actor string) (*Clients, error) {
	ledger, ok := st.(store.Ledger)
	if !ok {
		return nil, fmt.Errorf("gateway: a %T cannot keep clients (it is no store.Ledger): use store/sqlite", st)
	}
	return &Clients{ledger, actor}, nil
}

// Add adds a client and returns its key, which is shown this once: the store has
// a hash of it. It returns ErrClientExists for a name that is taken.
func (c *Clients) Add(ctx context.Context, client Client) (custody.Secret, error) {
	client.Created = time.Now().UTC().Truncate(time.Second)
	if err := client.typed(); err != nil {
		return custody.Secret{}, err
	}
	if !client.Ends.IsZero() && !client.Ends.After(client.Created) {
		return custody.Secret{}, fmt.Errorf("gateway: client %s would end at %s, which is over", client.Name, client.Ends.Format(time.RFC3339))
	}
	if err := c.note(ctx, "add client", client.Name, "accounts "+strings.Join(client.Accounts, " ")); err != nil {
		return custody.Secret{}, err
	}
	id := newClientID()
	key, hash := newKey(id)
	err := c.put(ctx, store.Document{Name: client.Name}, storedClient{
		Client: client, ID: hex.EncodeToString(id[:]), Keys: []storedKey{{Hash: hex.EncodeToString(hash[:])}},
	})
	if errors.Is(err, store.ErrConflict) {
		return custody.Secret{}, fmt.Errorf("%w: %s", ErrClientExists, client.Name)
	}
	if err != nil {
		return custody.Secret{}, err
	}
	return key, nil
}

// List returns the clients in the order of their names.
func (c *Clients) List(ctx context.Context) ([]Client, error) {
	docs, err := c.ledger.Documents(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("gateway: cannot read the clients: %w", err)
	}
	clients := []Client{}
	for _, doc := range docs {
		if doc.Kind != kindClient || doc.Body == nil {
			continue
		}
		stored, err := readClient(doc)
		if err != nil {
			return nil, err
		}
		clients = append(clients, stored.Client)
	}
	slices.SortFunc(clients, func(a, b Client) int { return strings.Compare(a.Name, b.Name) })
	return clients, nil
}

// Revoke removes a client: its keys and its gateway tokens are dead everywhere
// within five seconds. A real token that it was given lives on to its end. It
// returns ErrNoClient.
func (c *Clients) Revoke(ctx context.Context, name string) error {
	return c.change(ctx, "revoke client", name, "", func(storedClient) (*storedClient, error) { return nil, nil })
}

// maxGrace is how long a key may work on after it was replaced.
const maxGrace = 31 * 24 * time.Hour

// Rotate gives a client another key, which is shown this once. The one before works
// for grace, 31 days at most, and so do the tokens fetched with it; with 0 they are dead within
// five seconds. It returns ErrNoClient.
func (c *Clients) Rotate(ctx context.Context, name string, grace time.Duration) (custody.Secret, error) {
	if grace > maxGrace {
		return custody.Secret{}, fmt.Errorf("gateway: a grace of %s is too long: the old key would work on for more than %s", grace, maxGrace)
	}
	var key custody.Secret
	err := c.change(ctx, "rotate client", name, "grace "+grace.String(), func(stored storedClient) (*storedClient, error) {
		id, _, err := stored.parse()
		if err != nil {
			return nil, err
		}
		fresh, hash := newKey(id)
		keys := []storedKey{{Hash: hex.EncodeToString(hash[:])}}
		if grace > 0 && len(stored.Keys) > 0 {
			keys = append(keys, storedKey{Hash: stored.Keys[0].Hash, Until: time.Now().Add(grace).UTC()})
		}
		stored.Keys, key = keys, fresh
		return &stored, nil
	})
	if err != nil {
		return custody.Secret{}, err
	}
	return key, nil
}

// change edits the client of that name; nil removes it. Somebody else's change at
// the same time is read and edited in its turn.
func (c *Clients) change(ctx context.Context, act, name, detail string, edit func(storedClient) (*storedClient, error)) error {
	noted := false
	for {
		docs, err := c.ledger.Documents(ctx, 0)
		if err != nil {
			return fmt.Errorf("gateway: cannot read the clients: %w", err)
		}
		i := slices.IndexFunc(docs, func(doc store.Document) bool {
			return doc.Kind == kindClient && doc.Name == name && doc.Body != nil
		})
		if i < 0 {
			return fmt.Errorf("%w: %s", ErrNoClient, name)
		}
		stored, err := readClient(docs[i])
		if err != nil && act != "revoke client" {
			return err
		}
		if !noted {
			if err := c.note(ctx, act, name, detail); err != nil {
				return err
			}
			noted = true
		}
		edited, err := edit(stored)
		switch {
		case err != nil:
			return err
		case edited == nil:
			err = c.put(ctx, docs[i], nil)
		default:
			err = c.put(ctx, docs[i], *edited)
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

func (c *Clients) put(ctx context.Context, doc store.Document, value any) error {
	doc.Kind, doc.Body = kindClient, nil
	if value != nil {
		var err error
		if doc.Body, err = json.Marshal(value); err != nil {
			return fmt.Errorf("gateway: client %s has no JSON: %w", doc.Name, err)
		}
	}
	_, err := c.ledger.Put(ctx, doc)
	if err != nil {
		return fmt.Errorf("gateway: cannot write client %s: %w", doc.Name, err)
	}
	return nil
}

func (c *Clients) note(ctx context.Context, act, name, detail string) error {
	if err := c.ledger.Note(ctx, store.Use{Actor: c.actor, Act: act, Subject: name, Detail: detail}.Fit()); err != nil {
		return fmt.Errorf("gateway: the journal cannot be written, so nothing was changed: %w", err)
	}
	return nil
}

func readClient(doc store.Document) (storedClient, error) {
	var stored storedClient
	decoder := json.NewDecoder(bytes.NewReader(doc.Body))
	if err := decoder.Decode(&stored); err != nil || stored.Name != doc.Name {
		return storedClient{}, fmt.Errorf("gateway: the stored client %s cannot be read: revoke it and add it again", doc.Name)
	}
	return stored, nil
}

// parse returns the client's id and the hashes of its keys.
func (s storedClient) parse() (id clientID, keys []liveKey, err error) {
	raw, err := hex.DecodeString(s.ID)
	if err != nil || len(raw) != len(id) {
		return id, nil, fmt.Errorf("gateway: the stored client %s has no id: revoke it and add it again", s.Name)
	}
	copy(id[:], raw)
	for _, k := range s.Keys {
		raw, err := hex.DecodeString(k.Hash)
		if err != nil || len(raw) != len(keyHash{}) {
			return id, nil, fmt.Errorf("gateway: the stored client %s has a damaged key: revoke it and add it again", s.Name)
		}
		keys = append(keys, liveKey{hash: keyHash(raw), until: k.Until})
	}
	return id, keys, nil
}
