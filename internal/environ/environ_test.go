package environ_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/environ"
)

// TestSealKeyFile: the seal keys come from a file as from the variable, and an error
// shows none.
func TestSealKeyFile(t *testing.T) {
	first := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("a", 32)))
	second := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("b", 32)))
	for name, c := range map[string]struct {
		variable, content string
		keys              int
		failure           string
	}{
		"variable":    {variable: first + "," + second, keys: 2},
		"file":        {content: first + "\n", keys: 1},
		"lines":       {content: first + "\r\n" + second + "\n", keys: 2},
		"commas":      {content: first + "," + second, keys: 2},
		"both":        {variable: first, content: first, failure: "both set"},
		"empty":       {content: "\n", failure: "holds no key"},
		"no key":      {content: "made-up-0123", failure: "key 1, is not base64"},
		"neither":     {},
		"not base 64": {variable: first + ",made-up-0123", failure: "key 2, is not base64"},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{"ZHONGKONG_SEAL_KEY": c.variable}
			if c.content != "" {
				env["ZHONGKONG_SEAL_KEY_FILE"] = filepath.Join(t.TempDir(), "seal")
				if err := os.WriteFile(env["ZHONGKONG_SEAL_KEY_FILE"], []byte(c.content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			keys, err := environ.SealKeys(func(name string) string { return env[name] })
			if len(keys) != c.keys || (err == nil) != (c.failure == "") {
				t.Fatalf("%d keys, %v", len(keys), err)
			}
			if err != nil && (!strings.Contains(err.Error(), c.failure) || strings.Contains(err.Error(), "made-up") || strings.Contains(err.Error(), first)) {
				t.Errorf("%v, want %q and no key", err, c.failure)
			}
		})
	}
	for path, failure := range map[string]string{first: "looks like a key", "/nowhere/seal": "cannot be read"} {
		_, err := environ.SealKeys(func(name string) string {
			if name == "ZHONGKONG_SEAL_KEY_FILE" {
				return path
			}
			return ""
		})
		if err == nil || !strings.Contains(err.Error(), failure) || strings.Contains(err.Error(), first) {
			t.Errorf("%v, want %q", err, failure)
		}
	}
}
