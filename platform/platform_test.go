package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// What the tests call themselves and must never see printed. A token holds
// characters that a query escapes.
const (
	testAppID  = "wx0123456789abcdef"
	testSecret = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
	oldToken   = "91_old-Token/+=&" + "0123456789abcdef0123456789abcdef"
	newToken   = "91_new-Token/+=&" + "0123456789abcdef0123456789abcdef"
)

func testAccount() Account {
	return Account{AppID: testAppID, Secret: custody.NewSecret(testSecret)}
}

func newAPI(tb testing.TB, cfg Config) *API {
	tb.Helper()
	api, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(api.CloseIdleConnections)
	return api
}

// serve starts a server in WeChat's place.
func serve(tb testing.TB, handler http.HandlerFunc) *API {
	tb.Helper()
	server := httptest.NewServer(handler)
	tb.Cleanup(server.Close)
	return newAPI(tb, Config{Base: server.URL})
}

// says returns a handler that answers this and nothing else.
func says(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// roundTripFunc is a transport without a network.
type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// response is one that roundTripFuncs give.
func response(req *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}
}

// discard closes the answer of a call that was to fail.
func discard(resp *http.Response) {
	if resp != nil {
		_ = resp.Body.Close()
	}
}

var _ Tokens = (*custody.Keeper)(nil)

// fakeTokens hands out its current value and moves on to the next when that is
// refused.
type fakeTokens struct {
	tokenErr, rejectErr error
	onReject            func(ctx context.Context) // runs inside Reject

	mu      sync.Mutex
	current custody.Token
	next    custody.Token
	refused []string
}

func newFakeTokens(tb testing.TB) *fakeTokens {
	tb.Helper()
	return &fakeTokens{current: mint(tb, oldToken), next: mint(tb, newToken)}
}

func (f *fakeTokens) Token(context.Context) (custody.Token, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tokenErr != nil {
		return custody.Token{}, f.tokenErr
	}
	return f.current, nil
}

func (f *fakeTokens) Reject(ctx context.Context, refused string) (custody.Token, error) {
	if f.onReject != nil {
		f.onReject(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = append(f.refused, refused)
	if f.rejectErr != nil {
		return custody.Token{}, f.rejectErr
	}
	if refused == f.current.Value() {
		f.current = f.next
	}
	return f.current, nil
}

func (f *fakeTokens) rejected() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.refused...)
}

// mint makes a token of a value, as only a Keeper can.
func mint(tb testing.TB, value string) custody.Token {
	tb.Helper()
	keeper, err := custody.New(custody.Config{
		Key: custody.Key{Kind: "access_token", AppID: testAppID},
		Kind: custody.Kind{Fetch: func(context.Context, custody.Mode) (custody.Grant, error) {
			return custody.Grant{Value: custody.NewSecret(value), ExpiresIn: 2 * time.Hour}, nil
		}},
		Store: forgetful{},
	})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = keeper.Close() }()
	token, err := keeper.Token(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

// forgetful is a store that lends every lease and keeps nothing.
type forgetful struct{}

func (forgetful) Load(context.Context, custody.Key) (custody.Record, error) {
	return custody.Record{}, custody.ErrNotFound
}

func (forgetful) Acquire(_ context.Context, key custody.Key, attempt string, _ time.Duration) (custody.Lease, error) {
	return custody.Lease{Key: key, Attempt: attempt, Fence: 1, Record: custody.Record{Now: time.Now()}}, nil
}

func (forgetful) Begin(context.Context, custody.Lease, []byte) error           { return nil }
func (forgetful) Save(context.Context, custody.Lease, custody.Record) error    { return nil }
func (forgetful) Release(context.Context, custody.Lease, []byte) error         { return nil }
func (forgetful) Shorten(context.Context, custody.Key, int64, time.Time) error { return nil }
func (forgetful) Close() error                                                 { return nil }

// debugLog returns a logger that writes all it is told into the builder.
func debugLog() (*slog.Logger, *lockedBuilder) {
	var b lockedBuilder
	return slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})), &b
}

type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// mustNotTell fails when anything printed of the values, or of an error inside
// them, holds a secret.
func mustNotTell(tb testing.TB, values ...any) {
	tb.Helper()
	for _, value := range values {
		texts := []string{fmt.Sprintf("%v", value), fmt.Sprintf("%+v", value), fmt.Sprintf("%#v", value)}
		if err, ok := value.(error); ok {
			texts = append(texts, fmt.Sprintf("%s %q %x", err, err, err))
			if !errors.Is(err, err) { // the chain can be walked
				tb.Errorf("%v is not itself", err)
			}
			if inner := errors.Unwrap(err); inner != nil {
				mustNotTell(tb, inner)
			}
			if many, ok := err.(interface{ Unwrap() []error }); ok {
				for _, inner := range many.Unwrap() {
					mustNotTell(tb, inner)
				}
			}
		}
		for _, text := range texts {
			for _, secret := range []string{
				testSecret, oldToken, newToken, "91_old", "91_new", "secret=", "access_token=",
				fmt.Sprintf("%x", testSecret), fmt.Sprintf("%x", oldToken),
			} {
				if strings.Contains(text, secret) {
					tb.Errorf("%T prints %q: %s", value, secret, text)
				}
			}
		}
	}
}
