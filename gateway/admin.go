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
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/store"
)

const maxAdminBody = store.MaxDocumentBytes / 2 // sealed and in base64, it fits

// Admin returns the admin API, for a listener of its own. Requests carry
// "Authorization: Bearer <key>"; key has at least 32 characters, or everything is
// refused. reload, which may be nil, reads the configuration file again.
//
//	GET    /clients                        the clients
//	POST   /clients                        {"name":"shop","accounts":["wx…"]}: adds one; the answer has its key, this once
//	POST   /clients/{name}/rotate?grace=1h another key; the old one works for the grace
//	PUT    /clients/{name}/sites           {"returns":["https://shop.example/*"],"origins":["https://shop.example"]}: where it logs users in
//	PUT    /clients/{name}/title           {"title":"结算系统"}: what people read
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
	for pattern, serve := range (admin{g, reload}).routes() {
		mux.Handle(pattern, adminServe(serve))
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

// admin serves the admin API.
type admin struct {
	*Gateway

	reload func() error
}

// routes are all calls of the admin API; openapi.yaml says the same.
func (a admin) routes() map[string]adminHandler {
	return map[string]adminHandler{
		"GET /clients":                a.clients,
		"POST /clients":               a.add,
		"POST /clients/{name}/rotate": a.rotate,
		"PUT /clients/{name}/sites":   a.sites,
		"PUT /clients/{name}/title":   a.title,
		"DELETE /clients/{name}":      a.revoke,
		"GET /accounts":               a.accounts,
		"PUT /accounts":               a.replace,
		"GET /journal":                a.journal,
		"POST /reload":                a.readAgain,
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

func adminServe(serve adminHandler) http.Handler {
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
		var shared *clients.SharedReturnError
		switch {
		case errors.As(err, &known):
			status = known.status
		case errors.Is(err, clients.ErrNoClient):
			status = http.StatusNotFound
		case errors.Is(err, clients.ErrClientExists), errors.Is(err, store.ErrConflict), errors.As(err, &shared):
			status = http.StatusConflict
		}
		writeJSON(w, status, map[string]string{"error": named.Plain(err).Error()})
	})
}

func (a admin) clients(r *http.Request, actor string, _ []byte) (any, error) {
	clients, err := a.Clients(actor).List(r.Context())
	return map[string]any{"clients": clients}, err
}

func (a admin) add(r *http.Request, actor string, body []byte) (any, error) {
	var c Client
	if err := readJSON(body, new(map[string]json.RawMessage)); err != nil {
		return nil, badRequest("the body is not a client: %v", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return nil, badRequest("the body is not a client: %v", err)
	}
	if err := c.Check(); err != nil {
		return nil, badRequest("%s", named.Plain(err).Error())
	}
	key, err := a.Clients(actor).Add(r.Context(), c)
	if err != nil {
		return nil, err
	}
	a.Look(r.Context())
	return map[string]string{"name": c.Name, "key": key.Reveal()}, nil
}

func (a admin) rotate(r *http.Request, actor string, _ []byte) (any, error) {
	var grace time.Duration
	if text := r.URL.Query().Get("grace"); text != "" {
		var err error
		if grace, err = time.ParseDuration(text); err != nil || grace < 0 || grace > clients.MaxGrace {
			return nil, badRequest("grace has to be a duration such as 1h, at most %s", clients.MaxGrace)
		}
	}
	name := r.PathValue("name")
	key, err := a.Clients(actor).Rotate(r.Context(), name, grace)
	if err != nil {
		return nil, err
	}
	a.Look(r.Context())
	return map[string]string{"name": name, "key": key.Reveal()}, nil
}

// sites changes the sites of a client. A list that is missing stays as it is.
func (a admin) sites(r *http.Request, actor string, body []byte) (any, error) {
	var q struct {
		Returns *[]string `json:"returns"`
		Origins *[]string `json:"origins"`
	}
	if err := readJSON(body, &q); err != nil || q.Returns == nil && q.Origins == nil {
		return nil, badRequest(`the body has to be {"returns":["https://shop.example/*"],"origins":["https://shop.example"]}, or one of the two`)
	}
	lists := make([][]string, 2) // nil: it stays
	for i, list := range []*[]string{q.Returns, q.Origins} {
		if list != nil {
			lists[i] = append([]string{}, *list...)
		}
	}
	name := r.PathValue("name")
	if err := (Client{Name: name, Returns: lists[0], Origins: lists[1]}).CheckSites(); err != nil {
		return nil, badRequest("%s", named.Plain(err).Error())
	}
	if err := a.Clients(actor).SetSites(r.Context(), name, lists[0], lists[1]); err != nil {
		return nil, err
	}
	a.Look(r.Context())
	return map[string]string{"changed": name}, nil
}

// title changes a client's title. An empty one takes it away.
func (a admin) title(r *http.Request, actor string, body []byte) (any, error) {
	var q struct {
		Title *string `json:"title"`
	}
	if err := readJSON(body, &q); err != nil || q.Title == nil {
		return nil, badRequest(`the body has to be {"title":"结算系统"}, with "" to take the title away`)
	}
	name := r.PathValue("name")
	if err := (Client{Title: *q.Title}).CheckTitle(); err != nil {
		return nil, badRequest("%s", named.Plain(err).Error())
	}
	if err := a.Clients(actor).SetTitle(r.Context(), name, *q.Title); err != nil {
		return nil, err
	}
	a.Look(r.Context())
	return map[string]string{"changed": name}, nil
}

func (a admin) revoke(r *http.Request, actor string, _ []byte) (any, error) {
	name := r.PathValue("name")
	if err := a.Clients(actor).Revoke(r.Context(), name); err != nil {
		return nil, err
	}
	a.Look(r.Context())
	return map[string]string{"revoked": name}, nil
}

// accountView is an account as admins see it.
type accountView struct {
	Name     string `json:"name,omitempty"` // for people
	AppID    string `json:"appid"`
	TokenAPI string `json:"token_api"` // stable, classic, or gettoken of WeCom
	Admin    bool   `json:"admin"`     // it came by the admin API
	Live     bool   `json:"live"`
	Left     string `json:"left,omitempty"`
	Failure  string `json:"failure,omitempty"`
}

func (a admin) accounts(*http.Request, string, []byte) (any, error) {
	views := []accountView{}
	for _, s := range a.Accounts() {
		v := accountView{Name: s.Name, AppID: s.Key.AppID, TokenAPI: s.Key.API, Admin: s.Admin, Live: s.Live}
		if s.WeCom() {
			v.TokenAPI = "gettoken"
		}
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

// adminReplace takes the accounts of a configuration file, with the secrets in it.
// They are sealed into the store, from where every gateway takes them within five
// seconds, this one before it answers.
func (a admin) replace(r *http.Request, actor string, body []byte) (any, error) {
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
	if err := a.desk.accounts.takesAdmin(list); err != nil {
		return nil, &adminError{http.StatusConflict, named.Plain(err).Error()}
	}
	a.Look(r.Context()) // at the number that the accounts have now
	number := a.desk.accounts.nextNumber()
	doc, err := sealAccounts(a.cfg.SealKeys, number, list)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i, account := range list {
		names[i] = account.AppID
	}
	if doc.Version, err = a.version(r.Context(), doc); err != nil {
		return nil, err
	}
	subject := strconv.Itoa(len(list)) + " accounts"
	if err := a.desk.mustNote(r.Context(), actor, "replace accounts", subject, strings.Join(names, " ")); err != nil {
		return nil, err
	}
	if _, err := a.ledger.Put(r.Context(), doc); err != nil {
		return nil, named.Errorf("gateway", "cannot write the accounts: %w", err)
	}
	a.Look(r.Context())
	if err := a.desk.accounts.took(number); err != nil {
		return nil, err
	}
	return map[string]int{"accounts": len(list)}, nil
}

// version returns the version that a live document of that name has, 0 when there
// is none.
func (a admin) version(ctx context.Context, doc store.Document) (int64, error) {
	docs, err := a.ledger.Documents(ctx, 0)
	if err != nil {
		return 0, named.Errorf("gateway", "cannot read the store: %w", err)
	}
	for _, there := range docs {
		if there.Kind == doc.Kind && there.Name == doc.Name && there.Body != nil {
			return there.Version, nil
		}
	}
	return 0, nil
}

func (a admin) journal(r *http.Request, _ string, _ []byte) (any, error) {
	limit := 100
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 10_000 {
			return nil, badRequest("limit has to be a number from 1 to 10000")
		}
		limit = n
	}
	uses, err := a.Uses(r.Context(), limit)
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

func (a admin) readAgain(r *http.Request, actor string, _ []byte) (any, error) {
	if a.reload == nil {
		return nil, badRequest("there is no configuration file")
	}
	if err := a.desk.mustNote(r.Context(), actor, "reload", "", ""); err != nil {
		return nil, err
	}
	if err := a.reload(); err != nil {
		return nil, badRequest("%v", err)
	}
	return map[string]int{"accounts": len(a.Status())}, nil
}
