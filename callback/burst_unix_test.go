//go:build unix

package callback

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/burst"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

// BenchmarkBurst handles encrypted texts, 32 at a time, with memory as its floor: how many
// there are a second, and how much of a processor each takes.
func BenchmarkBurst(b *testing.B) {
	var floor burst.Floor
	for _, name := range []string{"memory", "sqlite"} {
		b.Run(name, func(b *testing.B) {
			var once Once = memory.New()
			if name == "sqlite" {
				store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "zhongkong.db"), sqlite.Options{})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = store.Close() }()
				once = store
			}
			bot := NewRouter()
			bot.Default(func(c *Context) error { return c.ReplyText("thank you") })
			e := mustEndpoint(b, EndpointConfig{Verifier: newVerifier(b, safeConfig()), Router: bot, Once: once})
			server := httptest.NewServer(e)
			defer server.Close()
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
			requests := make([]*http.Request, b.N)
			for i := range requests {
				requests[i] = sentAs(b, true, rawText(int64(i+1), "hello"))
				requests[i].RequestURI, requests[i].URL.Scheme, requests[i].URL.Host = "", "http", server.Listener.Addr().String()
			}
			floor.Run(b, name == "memory", func(i int) error {
				response, err := client.Do(requests[i])
				if err != nil {
					return err
				}
				n, _ := io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				if response.StatusCode != http.StatusOK || n < 100 {
					return fmt.Errorf("answered %d with %d bytes", response.StatusCode, n)
				}
				return nil
			}, func() bool { return true })
		})
	}
}
