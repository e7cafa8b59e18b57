package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

// files keeps documents the way a user of the tutorial does: as files.
func files(dir string) custody.Store {
	path := func(key custody.Key) string {
		return filepath.Join(dir, strings.ReplaceAll(key.String(), "/", "_"))
	}
	return store.Func(
		func(_ context.Context, key custody.Key) ([]byte, error) { return os.ReadFile(path(key)) },
		func(_ context.Context, key custody.Key, data []byte) error {
			return os.WriteFile(path(key), data, 0o600)
		},
	)
}

func TestFuncConformance(t *testing.T) {
	t.Parallel()
	storetest.RunWith(t, storetest.Options{
		Open: func(t *testing.T) func(*testing.T) custody.Store {
			dir := t.TempDir()
			return func(*testing.T) custody.Store { return files(dir) }
		},
		Handles:   1,
		Precision: time.Millisecond,
	})
}

var accessToken = custody.Key{Kind: "access_token", API: "stable", AppID: "wx0123456789abcdef"}

// document is a StoreFunc whose data a test sees.
type document struct {
	mu     sync.Mutex
	data   []byte
	broken error
}

func (d *document) store() custody.Store {
	return store.Func(
		func(context.Context, custody.Key) ([]byte, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.data, d.broken
		},
		func(_ context.Context, _ custody.Key, data []byte) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.data = data
			return d.broken
		},
	)
}

// TestFuncReadsTheTutorialsJSON: what a program after the tutorial saved is
// a live record, so moving to zhongkong costs no fetch.
func TestFuncReadsTheTutorialsJSON(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	data, err := json.Marshal(map[string]any{"access_token": "91_from-the-tutorial", "expires_in": end.UnixMilli()})
	if err != nil {
		t.Fatal(err)
	}
	got, err := (&document{data: data}).store().Load(t.Context(), accessToken)
	if err != nil {
		t.Fatal(err)
	}
	if got.Value != "91_from-the-tutorial" || !got.End.Equal(end) || got.Life != 2*time.Hour {
		t.Errorf("Load: got value %q, end %s, life %s; want the tutorial's token until %s with a life of 2h", got.Value, got.End, got.Life, end)
	}
}

// TestFuncWritesTheTutorialsJSON: what is saved here is valid there, with
// the end in milliseconds.
func TestFuncWritesTheTutorialsJSON(t *testing.T) {
	t.Parallel()
	d := &document{}
	s := d.store()
	lease, err := s.Acquire(t.Context(), accessToken, "attempt", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	end := lease.Record.Now.Add(2 * time.Hour)
	if err := s.Save(t.Context(), lease, custody.Record{Value: "91_ours", End: end, Life: 2 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(d.data, &got); err != nil {
		t.Fatal(err)
	}
	if got.AccessToken != "91_ours" || got.ExpiresIn != end.UnixMilli() {
		t.Errorf("saved %s; want access_token 91_ours and expires_in %d", d.data, end.UnixMilli())
	}
}

func TestFuncUnreadableDocuments(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		"", "{", "[]", "null", `"91_token"`, `{"access_token":1}`, `{"access_token":"a","expires_in":"soon"}`,
		`{"access_token":"a","expires_in":-1}`, `{"access_token":"` + strings.Repeat("a", custody.MaxValueBytes+1) + `","expires_in":1}`,
	} {
		s := (&document{data: []byte(data)}).store()
		if got, err := s.Load(t.Context(), accessToken); !errors.Is(err, custody.ErrNotFound) {
			t.Errorf("Load of %.40q: got %+v, %v; want ErrNotFound", data, got, err)
		}
		if _, err := s.Acquire(t.Context(), accessToken, "attempt", time.Minute); err != nil {
			t.Errorf("Acquire with %.40q: %v", data, err)
		}
	}
}

// TestFuncForgetsWhatWasNotSaved: a Save that fails leaves the lease, so
// that it can be tried again.
func TestFuncForgetsWhatWasNotSaved(t *testing.T) {
	t.Parallel()
	d := &document{}
	s := d.store()
	lease, err := s.Acquire(t.Context(), accessToken, "attempt", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left on device")
	d.broken = full
	record := custody.Record{Value: "91_ours", End: lease.Record.Now.Add(time.Hour), Life: time.Hour}
	if err := s.Save(t.Context(), lease, record); !errors.Is(err, full) {
		t.Fatalf("Save: got %v, want the function's error", err)
	}
	d.broken = fs.ErrNotExist
	d.data = nil
	var held *custody.HeldError
	if _, err := s.Acquire(t.Context(), accessToken, "another", time.Minute); !errors.As(err, &held) {
		t.Fatalf("Acquire by another attempt: got %v, want a *HeldError", err)
	}
}
