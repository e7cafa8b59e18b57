package clients

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/store"
)

// storedClient is a client as the store keeps it.
type storedClient struct {
	Client

	ID   string      `json:"id"`
	Keys []storedKey `json:"keys"` // the newest first

	more more
}

type storedKey struct {
	Hash  string    `json:"sha256"`
	Until time.Time `json:"until,omitzero"` // of a key that was replaced

	more more
}

// The same without methods, for package json.
type (
	plainClient storedClient
	plainKey    storedKey
)

func (s *storedClient) UnmarshalJSON(text []byte) (err error) {
	s.more, err = decode(text, (*plainClient)(s))
	return err
}

func (s storedClient) MarshalJSON() ([]byte, error) { return s.more.encode(plainClient(s)) }

func (k *storedKey) UnmarshalJSON(text []byte) (err error) {
	k.more, err = decode(text, (*plainKey)(k))
	return err
}

func (k storedKey) MarshalJSON() ([]byte, error) { return k.more.encode(plainKey(k)) }

// more are fields that a later version has written. A change leaves them as they are.
type more map[string]json.RawMessage

// decode reads an object into a struct, and returns the fields that the struct lacks.
func decode[T any](text []byte, into *T) (rest more, err error) {
	if err := errors.Join(json.Unmarshal(text, into), json.Unmarshal(text, &rest)); err != nil {
		return nil, err
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		delete(rest, name)
	}
	return rest, nil
}

// encode is the object of a struct with those fields.
func (m more) encode(of any) ([]byte, error) {
	text, err := json.Marshal(of)
	if err != nil || len(m) == 0 {
		return text, err
	}
	all := maps.Clone(m)
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// Book adds and revokes the clients of a store. Every act is in the store's
// journal before it is done, and is not done when that cannot be written. The gateways on the store follow
// within five seconds.
type Book struct {
	ledger store.Ledger
	actor  string
}

// NewBook returns the clients of a store in the name of actor, which the journal shows,
// such as "admin zhang@host".
func NewBook(ledger store.Ledger, actor string) *Book { return &Book{ledger, actor} }

// Add adds a client and returns its key, which is shown this once: the store has
// a hash of it. It returns ErrClientExists for a name that is taken, and a
// [*SharedReturnError] for a return address that overlaps with another client's.
func (b *Book) Add(ctx context.Context, client Client) (custody.Secret, error) {
	client.Created = time.Now().UTC().Truncate(time.Second)
	if err := client.Check(); err != nil {
		return custody.Secret{}, err
	}
	if !client.Ends.IsZero() && !client.Ends.After(client.Created) {
		ends := client.Ends.Format(time.RFC3339)
		return custody.Secret{}, named.Errorf("gateway", "client %s would end at %s, which is over", client.Name, ends)
	}
	if len(client.Returns) > 0 {
		docs, err := b.documents(ctx)
		if err == nil {
			err = checkShared(docs, client, client.Returns)
		}
		if err != nil {
			return custody.Secret{}, err
		}
	}
	if err := b.note(ctx, "add client", client.Name, "accounts "+strings.Join(client.Accounts, " ")); err != nil {
		return custody.Secret{}, err
	}
	id := newID()
	key, hash := newKey(id)
	err := b.put(ctx, store.Document{Name: client.Name}, &storedClient{
		Client: client, ID: hex.EncodeToString(id[:]), Keys: []storedKey{{Hash: hex.EncodeToString(hash[:])}},
	})
	if errors.Is(err, store.ErrConflict) {
		return custody.Secret{}, named.Errorf("gateway", "%w: %s", ErrClientExists, client.Name)
	}
	if err != nil {
		return custody.Secret{}, err
	}
	return key, nil
}

// List returns the clients in the order of their names.
func (b *Book) List(ctx context.Context) ([]Client, error) {
	docs, err := b.documents(ctx)
	if err != nil {
		return nil, err
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
		stored.Title = shape.Shown(stored.Title)
		clients = append(clients, stored.Client)
	}
	slices.SortFunc(clients, func(a, b Client) int { return strings.Compare(a.Name, b.Name) })
	return clients, nil
}

// Revoke removes a client: its keys and its gateway tokens are dead everywhere
// within five seconds. A real token that it was given lives on to its end. It
// returns ErrNoClient.
func (b *Book) Revoke(ctx context.Context, name string) error {
	return b.change(ctx, "revoke client", name, "", func(storedClient, []store.Document) (*storedClient, error) { return nil, nil })
}

// MaxGrace is how long a key may work on after it was replaced.
const MaxGrace = 31 * 24 * time.Hour

// Rotate gives a client another key, which is shown this once. The one before works
// for grace, 31 days at most, and so do the tokens fetched with it; with 0 they are dead within
// five seconds. It returns ErrNoClient.
func (b *Book) Rotate(ctx context.Context, name string, grace time.Duration) (custody.Secret, error) {
	if grace > MaxGrace {
		return custody.Secret{}, named.Errorf("gateway", "a grace of %s is too long: the old key would work on for more than %s", grace, MaxGrace)
	}
	var key custody.Secret
	err := b.change(ctx, "rotate client", name, "grace "+grace.String(), func(stored storedClient, _ []store.Document) (*storedClient, error) {
		id, _, err := stored.parse()
		if err != nil {
			return nil, err
		}
		fresh, hash := newKey(id)
		keys := []storedKey{{Hash: hex.EncodeToString(hash[:])}}
		if grace > 0 && len(stored.Keys) > 0 {
			before := stored.Keys[0]
			before.Until = time.Now().Add(grace).UTC()
			keys = append(keys, before)
		}
		stored.Keys, key = keys, fresh
		return &stored, nil
	})
	if err != nil {
		return custody.Secret{}, err
	}
	return key, nil
}

// SetSites changes where a client's users are sent back to, and whose pages it answers for;
// see Client.Returns and Client.Origins. A nil list stays as it is, an empty one takes all
// away. It returns ErrNoClient, and a [*SharedReturnError] for an added return address that
// overlaps with another client's.
func (b *Book) SetSites(ctx context.Context, name string, returns, origins []string) error {
	var details []string
	if returns != nil {
		details = append(details, fmt.Sprintf("returns %d", len(returns)))
	}
	if origins != nil {
		details = append(details, fmt.Sprintf("origins %d", len(origins)))
	}
	edit := func(stored storedClient, docs []store.Document) (*storedClient, error) {
		added := slices.DeleteFunc(slices.Clone(returns), func(address string) bool { return slices.Contains(stored.Returns, address) })
		if returns != nil {
			stored.Returns = returns
		}
		if origins != nil {
			stored.Origins = origins
		}
		if err := stored.CheckSites(); err != nil {
			return nil, err
		}
		if err := checkShared(docs, stored.Client, added); err != nil {
			return nil, err
		}
		return &stored, nil
	}
	return b.change(ctx, "set sites of client", name, strings.Join(details, ", "), edit)
}

// SetTitle changes what people read of a client; "" takes its title away. It returns
// ErrNoClient.
func (b *Book) SetTitle(ctx context.Context, name, title string) error {
	if err := (Client{Title: title}).CheckTitle(); err != nil {
		return err
	}
	return b.change(ctx, "set title of client", name, title, func(stored storedClient, _ []store.Document) (*storedClient, error) {
		stored.Title = title
		return &stored, nil
	})
}

// documents returns those of the ledger.
func (b *Book) documents(ctx context.Context) ([]store.Document, error) {
	docs, err := b.ledger.Documents(ctx, 0)
	if err != nil {
		return nil, named.Errorf("gateway", "cannot read the clients: %w", err)
	}
	return docs, nil
}

// checkShared returns a [*SharedReturnError] if one of the return addresses that c is to get
// overlaps with another client's. Two clients that are added at the same moment may pass
// both; a login that fits both is refused.
func checkShared(docs []store.Document, c Client, added []string) error {
	if len(added) == 0 {
		return nil
	}
	returns, err := weblogin.ParseReturns(added)
	if err != nil {
		return named.Errorf("gateway", "client %s: %w", c.Name, err)
	}
	for _, doc := range docs {
		if doc.Kind != kindClient || doc.Body == nil || doc.Name == c.Name {
			continue
		}
		other, err := readClient(doc)
		if err != nil || other.over(time.Now()) || !c.sharesAccount(other.Client) {
			continue
		}
		theirs, err := weblogin.ParseReturns(other.Returns)
		if err != nil {
			continue // no gateway uses this client
		}
		if address, others, found := returns.Overlap(theirs); found {
			return &SharedReturnError{Client: c.Name, Address: address, Other: other.Name, Others: others}
		}
	}
	return nil
}

// change edits the client of that name; nil removes it. Somebody else's change at
// the same time is read and edited in its turn.
func (b *Book) change(
	ctx context.Context, act, name, detail string,
	edit func(storedClient, []store.Document) (*storedClient, error),
) error {
	noted := false
	for {
		docs, err := b.documents(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(docs, func(doc store.Document) bool {
			return doc.Kind == kindClient && doc.Name == name && doc.Body != nil
		})
		if i < 0 {
			return named.Errorf("gateway", "%w: %s", ErrNoClient, name)
		}
		stored, err := readClient(docs[i])
		if err != nil && act != "revoke client" {
			return err
		}
		edited, err := edit(stored, docs)
		if err != nil {
			return err
		}
		if !noted {
			if err := b.note(ctx, act, name, detail); err != nil {
				return err
			}
			noted = true
		}
		err = b.put(ctx, docs[i], edited)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// put writes a client; nil removes it.
func (b *Book) put(ctx context.Context, doc store.Document, client *storedClient) error {
	doc.Kind, doc.Body = kindClient, nil
	if client != nil {
		var err error
		if doc.Body, err = json.Marshal(client); err != nil {
			return named.Errorf("gateway", "client %s has no JSON: %w", doc.Name, err)
		}
	}
	_, err := b.ledger.Put(ctx, doc)
	if err != nil {
		return named.Errorf("gateway", "cannot write client %s: %w", doc.Name, err)
	}
	return nil
}

func (b *Book) note(ctx context.Context, act, name, detail string) error {
	if err := b.ledger.Note(ctx, store.Use{Actor: b.actor, Act: act, Subject: name, Detail: detail}.Fit()); err != nil {
		return named.Errorf("gateway", "the journal cannot be written, so nothing was changed: %w", err)
	}
	return nil
}

func readClient(doc store.Document) (storedClient, error) {
	var stored storedClient
	if err := json.Unmarshal(doc.Body, &stored); err != nil || stored.Name != doc.Name {
		return storedClient{}, named.Errorf("gateway", "the stored client %s cannot be read: revoke it and add it again", doc.Name)
	}
	return stored, nil
}

// parse returns the client's id and the hashes of its keys.
func (s storedClient) parse() (id ID, keys []liveKey, err error) {
	raw, err := hex.DecodeString(s.ID)
	if err != nil || len(raw) != len(id) {
		return id, nil, named.Errorf("gateway", "the stored client %s has no id: revoke it and add it again", s.Name)
	}
	copy(id[:], raw)
	for _, k := range s.Keys {
		raw, err := hex.DecodeString(k.Hash)
		if err != nil || len(raw) != len(Hash{}) {
			return id, nil, named.Errorf("gateway", "the stored client %s has a damaged key: revoke it and add it again", s.Name)
		}
		keys = append(keys, liveKey{hash: Hash(raw), until: k.Until})
	}
	return id, keys, nil
}
