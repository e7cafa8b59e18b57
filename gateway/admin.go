package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/store"
)

// accountsName is the one document of its kind.
const accountsName = "admin"

const minAdminKey = 32 // characters

const maxAdminBody = store.MaxDocumentBytes / 2 // sealed and in base64, it fits

// Admin returns the admin API, for a listener of its own. Requests carry
// "Authorization: Bearer <key>"; key has at least 32 characters, or everything is
// refused. reload, which may be nil, reads the configuration file again.
//
//	GET    /clients                        the clients
//	POST   /clients                        {"name":"shop","accounts":["wx…"]}: adds one; the answer has its key, this once
//	POST   /clients/{name}/rotate?grace=1h another key; the old one works for the grace
//	DELETE /clients/{name}                 revokes one
//	GET    /accounts                       the accounts and how their tokens are
//	PUT    /accounts                       {"accounts":[{"appid":"wx…","secret":"…"}]}: the accounts beside the file's, all of them or none
//	POST   /reload                         reads the configuration file again
//	GET    /journal?limit=100              who did what, newest first
//
// Acts are in the journal before they are done. What is answered is JSON; an error
// has status 4xx or 5xx and {"error":"…"}.
func (g *Gateway) Admin(key custody.Secret, reload func() error) http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range g.adminRoutes(reload) {
		mux.Handle(pattern, g.adminServe(serve))
	}
	return g.Guard(mux, key)
}

// Guard returns a handler that passes on what carries "Authorization: Bearer" and one
// of keys, and refuses everything else as the admin API does. Keys that have less
// than 32 characters are none.
func (g *Gateway) Guard(next http.Handler, keys ...custody.Secret) http.Handler {
	var hashes [][sha256.Size]byte
	for _, key := range keys {
		if len(key.Reveal()) >= minAdminKey {
			hashes = append(hashes, sha256.Sum256([]byte(key.Reveal())))
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var visit gate.Visit
		r, fits := visit.Enter(w, r, maxAdminBody)
		defer visit.Leave()
		if !fits {
			writeJSON(w, http.StatusRequestEntityTooLarge, map[string]string{"error": fmt.Sprintf("the body has more than %d bytes", maxAdminBody)})
			return
		}
		key, _ := bearer(r.Header)
		given := sha256.Sum256([]byte(key))
		right := 0
		for _, hash := range hashes {
			right |= subtle.ConstantTimeCompare(hash[:], given[:])
		}
		if right == 1 {
			visit.Prove()
			next.ServeHTTP(w, r)
			return
		}
		status := http.StatusUnauthorized
		if !g.WrongKey(r.RemoteAddr) {
			status = http.StatusTooManyRequests
		}
		writeJSON(w, status, map[string]string{"error": "no admin key, or a wrong one: send Authorization: Bearer and the key"})
	})
}

// adminRoutes are all calls of the admin API; openapi.yaml says the same.
func (g *Gateway) adminRoutes(reload func() error) map[string]adminHandler {
	return map[string]adminHandler{
		"GET /clients":                g.adminClients,
		"POST /clients":               g.adminAdd,
		"POST /clients/{name}/rotate": g.adminRotate,
		"DELETE /clients/{name}":      g.adminRevoke,
		"GET /accounts":               g.adminAccounts,
		"PUT /accounts":               g.adminReplace,
		"GET /journal":                g.adminJournal,
		"POST /reload": func(r *http.Request, actor string, _ []byte) (any, error) {
			if reload == nil {
				return nil, badRequest("there is no configuration file")
			}
			if err := g.mustNote(r.Context(), actor, "reload", "", ""); err != nil {
				return nil, err
			}
			if err := reload(); err != nil {
				return nil, badRequest("%v", err)
			}
			return map[string]int{"accounts": len(*g.accounts.Load())}, nil
		},
	}
}

// adminHandler does one thing of the admin API.
type adminHandler func(r *http.Request, actor string, body []byte) (any, error)

// adminError is an error with a status of HTTP.
type adminError struct {
	status int
	text   string
}

func (e *adminError) Error() string { return e.text }

func badRequest(format string, args ...any) error {
	return &adminError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func (g *Gateway) adminServe(serve adminHandler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			host = "unknown"
		}
		var answer any
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAdminBody))
		if err != nil {
			err = &adminError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body did not arrive, or has more than %d bytes", maxAdminBody)}
		} else {
			answer, err = serve(r, "admin "+host, body)
		}
		if err == nil {
			writeJSON(w, http.StatusOK, answer)
			return
		}
		status := http.StatusServiceUnavailable
		var known *adminError
		switch {
		case errors.As(err, &known):
			status = known.status
		case errors.Is(err, ErrNoClient):
			status = http.StatusNotFound
		case errors.Is(err, ErrClientExists), errors.Is(err, store.ErrConflict):
			status = http.StatusConflict
		}
		writeJSON(w, status, map[string]string{"error": strings.TrimPrefix(err.Error(), "gateway: ")})
	})
}

func (g *Gateway) adminClients(r *http.Request, actor string, _ []byte) (any, error) {
	clients, err := g.Clients(actor).List(r.Context())
	return map[string]any{"clients": clients}, err
}

func (g *Gateway) adminAdd(r *http.Request, actor string, body []byte) (any, error) {
	var c Client
	if err := readJSON(body, new(map[string]json.RawMessage)); err != nil {
		return nil, badRequest("the body is not a client: %v", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return nil, badRequest("the body is not a client: %v", err)
	}
	if err := c.typed(); err != nil {
		return nil, badRequest("%s", strings.TrimPrefix(err.Error(), "gateway: "))
	}
	key, err := g.Clients(actor).Add(r.Context(), c)
	if err != nil {
		return nil, err
	}
	g.registry.look(r.Context())
	return map[string]string{"name": c.Name, "key": key.Reveal()}, nil
}

func (g *Gateway) adminRotate(r *http.Request, actor string, _ []byte) (any, error) {
	var grace time.Duration
	if text := r.URL.Query().Get("grace"); text != "" {
		var err error
		if grace, err = time.ParseDuration(text); err != nil || grace < 0 || grace > maxGrace {
			return nil, badRequest("grace has to be a duration such as 1h, at most %s", maxGrace)
		}
	}
	name := r.PathValue("name")
	key, err := g.Clients(actor).Rotate(r.Context(), name, grace)
	if err != nil {
		return nil, err
	}
	g.registry.look(r.Context())
	return map[string]string{"name": name, "key": key.Reveal()}, nil
}

func (g *Gateway) adminRevoke(r *http.Request, actor string, _ []byte) (any, error) {
	name := r.PathValue("name")
	if err := g.Clients(actor).Revoke(r.Context(), name); err != nil {
		return nil, err
	}
	g.registry.look(r.Context())
	return map[string]string{"revoked": name}, nil
}

// accountView is an account as admins see it.
type accountView struct {
	AppID    string            `json:"appid"`
	TokenAPI platform.TokenAPI `json:"token_api"`
	Admin    bool              `json:"admin"` // it came by the admin API
	Live     bool              `json:"live"`
	Left     string            `json:"left,omitempty"`
	Failure  string            `json:"failure,omitempty"`
}

func (g *Gateway) adminAccounts(*http.Request, string, []byte) (any, error) {
	views := []accountView{}
	for _, s := range g.Accounts() {
		v := accountView{AppID: s.Key.AppID, TokenAPI: platform.TokenAPI(s.Key.API), Admin: s.Admin, Live: s.Live}
		if s.Live {
			v.Left = s.Left.Round(time.Second).String()
		}
		if s.Failure != nil {
			v.Failure = s.Failure.Error()
		}
		views = append(views, v)
	}
	return map[string]any{"accounts": views}, nil
}

// sealedAccounts is the document in which the store keeps the admin API's accounts.
type sealedAccounts struct {
	KeyID  string `json:"seal_key"`
	Sealed string `json:"sealed"`
}

// storedAccount is one of them, inside the seal.
type storedAccount struct {
	AppID        string            `json:"appid"`
	Secret       string            `json:"secret"`
	TokenAPI     platform.TokenAPI `json:"token_api"`
	DailyFetches int               `json:"daily_fetches,omitempty"`
	Callback     *storedCallback   `json:"callback,omitempty"`
}

// adminReplace takes the accounts of a configuration file, with the secrets in it.
// They are sealed into the store, from where every gateway takes them within five
// seconds, this one before it answers.
func (g *Gateway) adminReplace(r *http.Request, actor string, body []byte) (any, error) {
	var file struct {
		Accounts *[]accountFile `yaml:"accounts"`
	}
	if err := shallow(body); err != nil {
		return nil, badRequest("%v", err)
	}
	if err := unmarshal(body, &file); err != nil && !errors.Is(err, errEmpty) {
		return nil, badRequest("%v", err)
	}
	if file.Accounts == nil {
		return nil, badRequest(`the body has no list of accounts, and nothing was changed: to take all away, send {"accounts":[]}`)
	}
	at := func(path string, err error) error { return lineError(body, path, err) }
	for i, f := range *file.Accounts {
		if path, found := f.foreign(); found {
			return nil, badRequest("%v", at(fmt.Sprintf("$.accounts[%d]%s", i, path), errors.New("an account of the admin API brings its AppSecret itself, and the keys of its callback: environment and files are this machine's")))
		}
	}
	list, err := readAccounts(*file.Accounts, "", nil, at)
	if err != nil {
		return nil, badRequest("%v", err)
	}
	g.replacing.Lock()
	err = overlap(list, g.file, "it is in the configuration file: change it there, or take it away there first")
	g.replacing.Unlock()
	if err != nil {
		return nil, &adminError{http.StatusConflict, strings.TrimPrefix(err.Error(), "gateway: ")}
	}
	names := make([]string, len(list))
	stored := make([]storedAccount, len(list))
	for i, a := range list {
		names[i], stored[i] = a.AppID, storedAccount{a.AppID, a.Secret.Reveal(), a.TokenAPI, a.DailyFetches, storeCallback(a.Callback)}
	}
	text, err := json.Marshal(stored) //nolint:gosec // it is sealed before it goes anywhere
	if err != nil {
		return nil, err
	}
	sealed, keyID, err := custody.Seal(g.cfg.SealKeys, kindAccounts, custody.NewSecret(string(text)))
	if err != nil {
		return nil, err
	}
	doc := store.Document{Kind: kindAccounts, Name: accountsName}
	if doc.Body, err = json.Marshal(sealedAccounts{keyID, sealed}); err != nil {
		return nil, err
	}
	if doc.Version, err = g.version(r.Context(), doc); err != nil {
		return nil, err
	}
	if err := g.mustNote(r.Context(), actor, "replace accounts", strconv.Itoa(len(list))+" accounts", strings.Join(names, " ")); err != nil {
		return nil, err
	}
	if _, err := g.ledger.Put(r.Context(), doc); err != nil {
		return nil, fmt.Errorf("gateway: cannot write the accounts: %w", err)
	}
	g.registry.look(r.Context())
	return map[string]int{"accounts": len(list)}, nil
}

// version returns the version that a live document of that name has, 0 when there
// is none.
func (g *Gateway) version(ctx context.Context, doc store.Document) (int64, error) {
	docs, err := g.ledger.Documents(ctx, 0)
	if err != nil {
		return 0, fmt.Errorf("gateway: cannot read the store: %w", err)
	}
	for _, there := range docs {
		if there.Kind == doc.Kind && there.Name == doc.Name && there.Body != nil {
			return there.Version, nil
		}
	}
	return 0, nil
}

// takeAccounts makes the store's accounts this gateway's, all or none.
func (g *Gateway) takeAccounts(doc store.Document) {
	if doc.Name != accountsName {
		return
	}
	list, err := g.openAccounts(doc)
	if err == nil {
		g.replacing.Lock()
		defer g.replacing.Unlock()
		err = overlap(list, g.file, "this gateway's configuration file has it too: take it away there")
		if err == nil {
			err = g.apply(append(slices.Clone(g.file), list...))
		}
	}
	if err != nil {
		g.cfg.Logger.Warn("the accounts of the admin API were not taken; those from before go on", "error", err)
		return
	}
	g.admin = list
}

func (g *Gateway) openAccounts(doc store.Document) ([]Account, error) {
	if doc.Body == nil {
		return nil, nil
	}
	var sealed sealedAccounts
	if err := json.Unmarshal(doc.Body, &sealed); err != nil {
		return nil, errors.New("gateway: the stored accounts are damaged: put them again")
	}
	text, err := custody.Unseal(g.cfg.SealKeys, kindAccounts, sealed.Sealed, sealed.KeyID)
	if err != nil {
		return nil, fmt.Errorf("gateway: the stored accounts cannot be opened: %w", err)
	}
	var stored []storedAccount
	if err := json.Unmarshal([]byte(text.Reveal()), &stored); err != nil {
		return nil, errors.New("gateway: the stored accounts are damaged: put them again")
	}
	list := make([]Account, len(stored))
	for i, a := range stored {
		list[i] = Account{
			AppID:        a.AppID,
			Secret:       custody.NewSecret(a.Secret),
			TokenAPI:     a.TokenAPI,
			DailyFetches: a.DailyFetches,
			Callback:     a.Callback.open(),
		}
	}
	return list, nil
}

func (g *Gateway) adminJournal(r *http.Request, _ string, _ []byte) (any, error) {
	limit := 100
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 10_000 {
			return nil, badRequest("limit has to be a number from 1 to 10000")
		}
		limit = n
	}
	uses, err := g.Uses(r.Context(), limit)
	if err != nil {
		return nil, err
	}
	type line struct {
		At      time.Time `json:"at"`
		Actor   string    `json:"actor"`
		Act     string    `json:"act"`
		Subject string    `json:"subject,omitempty"`
		Detail  string    `json:"detail,omitempty"`
	}
	lines := make([]line, len(uses))
	for i, use := range uses {
		lines[i] = line(use)
	}
	return map[string]any{"journal": lines}, nil
}

func (g *Gateway) mustNote(ctx context.Context, actor, act, subject, detail string) error {
	ctx, cancel := context.WithTimeout(ctx, noteTimeout)
	defer cancel()
	if err := g.ledger.Note(ctx, store.Use{Actor: actor, Act: act, Subject: subject, Detail: detail}.Fit()); err != nil {
		return fmt.Errorf("the journal cannot be written, so it was not done: %w", err)
	}
	return nil
}
