package wechat_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// TestThousandGoroutines on an empty store: one token is issued.
func TestThousandGoroutines(t *testing.T) {
	for api, stats := range tokenAPIs {
		wx := simtest.New(t, simulatorOptions())
		wx.Delay(simulator.Fetches, 50*time.Millisecond)
		cfg := config()
		cfg.APIBase, cfg.Transport, cfg.TokenAPI = wx.URL, nil, api
		cfg.StoreURL = "sqlite:" + t.TempDir() + "/zhongkong.db"
		client := newClient(t, cfg)
		var all sync.WaitGroup
		values := make(chan string, 1000)
		for range 1000 {
			all.Go(func() {
				token, err := client.Token(t.Context())
				if err != nil {
					t.Error(err)
				}
				values <- token.Value()
			})
		}
		all.Wait()
		close(values)
		for value := range values {
			if !wx.Accepts(value) {
				t.Fatalf("%s: a caller got a token that does not live", api)
			}
		}
		if got := stats(wx); got.Calls != 1 || got.Issued != 1 {
			t.Errorf("%s: %+v, want one call and one token", api, got)
		}
	}
}

// TestSQLiteByDefault: what New opened it also closes, and the next client finds
// the token there.
func TestSQLiteByDefault(t *testing.T) {
	t.Chdir(t.TempDir())
	cfg, wx := inMemory(t, config(), simulatorOptions())
	cfg.StoreURL = ""
	var values []string
	for range 3 {
		client, err := wechat.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, mustToken(t, client))
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
	if values[0] != values[1] || values[1] != values[2] || wx.Stats(testAppID).Stable.Calls != 1 {
		t.Errorf("%d fetches", wx.Stats(testAppID).Stable.Calls)
	}
}

// TestSealed: with a seal key the token stands in no file of the database, while
// it is open and after; without one this very search finds it.
func TestSealed(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		folder := t.TempDir()
		cfg, wx := inMemory(t, config(), simulatorOptions())
		cfg.StoreURL = "sqlite:" + filepath.Join(folder, "zhongkong.db")
		if sealed {
			cfg.SealKeys = []custody.Secret{wechat.Secret(testSealKey)}
		}
		client, err := wechat.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		values := []string{mustToken(t, client)}
		wx.Kill(testAppID)
		if err := client.Get(t.Context(), domainIP, nil, nil); err != nil { // a second token
			t.Fatal(err)
		}
		values = append(values, mustToken(t, client))
		open := filesThatHold(t, folder, values...)
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		closed := filesThatHold(t, folder, values...)
		if sealed && len(open)+len(closed) > 0 {
			t.Errorf("a token stands in %s, after Close in %s", open, closed)
		}
		if !sealed && (len(open) == 0 || len(closed) == 0) {
			t.Error("without a seal key the token is not found either: this test sees nothing")
		}
		if secrets := filesThatHold(t, folder, testSecret, testToken, testSealKey); len(secrets) > 0 {
			t.Errorf("a secret stands in %s", secrets)
		}
	}
}

// filesThatHold returns the names of the files in folder that hold one of texts.
func filesThatHold(t *testing.T, folder string, texts ...string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	var found []string
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if bytes.Contains(data, []byte(text)) {
				found = append(found, entry.Name())
			}
		}
	}
	return found
}

// TestStartsOnWhatIsNotReady: a folder that is not there yet stops no start, and
// a client that could not save hands its token out all the same.
func TestStartsOnWhatIsNotReady(t *testing.T) {
	log := new(logtest.Log)
	cfg, wx := inMemory(t, config(), simulatorOptions())
	folder := filepath.Join(t.TempDir(), "parent", "later")
	cfg.StoreURL, cfg.Logger = "sqlite:"+filepath.Join(folder, "zhongkong.db"), log.Logger(slog.LevelDebug)
	client := newClient(t, cfg)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if value := mustToken(t, client); !wx.Accepts(value) {
		t.Error("the token does not live")
	}
	if !strings.Contains(log.String(), folder) {
		t.Error("nobody was told that the folder is missing")
	}
}

// TestFolderInTheFilesPlace is a configuration that cannot work.
func TestFolderInTheFilesPlace(t *testing.T) {
	folder := t.TempDir()
	cfg := config()
	cfg.StoreURL = "sqlite:" + folder
	client, err := wechat.New(cfg)
	if err == nil {
		_ = client.Close()
		t.Fatal("New accepts it")
	}
	if text := err.Error(); !strings.Contains(text, "Config.StoreURL (ZHONGKONG_STORE)") || !strings.Contains(text, folder) {
		t.Errorf("the error is %q", text)
	}
}
