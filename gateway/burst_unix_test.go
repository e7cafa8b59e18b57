//go:build unix

package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/burst"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/open"
)

// counter is a network in which every system answers success at once.
type counter struct{ delivered atomic.Int64 }

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	c.delivered.Add(1)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("success")), Request: r}, nil
}

// BenchmarkFanout pushes encrypted texts, 32 at a time, through a gateway to two systems
// until both have all of them, with a gateway on memory as its floor.
func BenchmarkFanout(b *testing.B) {
	var floor burst.Floor
	for _, name := range []string{"memory", "sqlite", "redis", "postgres", "mysql"} {
		b.Run(name, func(b *testing.B) {
			address := os.Getenv("ZHONGKONG_TEST_" + strings.ToUpper(name))
			switch {
			case name == "memory":
				address = "memory:"
			case name == "sqlite":
				address = "sqlite:" + filepath.Join(b.TempDir(), "zhongkong.db")
			case address == "":
				b.Skip("no server is named in the environment")
			}
			store, err := open.Open(b.Context(), address, open.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = store.Close() }()
			p := pushWeChat(b, nil)
			systems := company{newSystem("first", gateway.Safe), newSystem("second", gateway.Safe)}
			network := new(counter)
			g := p.gateway(store, systems, new(logtest.Log), func(cfg *gateway.Config) {
				cfg.Callbacks, cfg.Logger, cfg.Access = network, nil, nil
			})
			defer func() { _ = g.Close() }()
			requests := make([]*http.Request, b.N)
			for i := range requests {
				text := simulator.Text("hello").By(fmt.Sprintf("o%027d", time.Now().UnixNano()+int64(i)))
				requests[i], err = p.wx.NewRequest(b.Context(), simulator.Push{URL: "http://gateway.invalid/callback/" + appID, Message: text})
				if err != nil {
					b.Fatal(err)
				}
			}
			floor.Run(b, name == "memory", func(i int) error {
				recorder := httptest.NewRecorder()
				g.ServeHTTP(recorder, requests[i])
				if recorder.Code != http.StatusOK {
					return fmt.Errorf("answered %d %s", recorder.Code, recorder.Body)
				}
				return nil
			}, func() bool { return network.delivered.Load() >= 2*int64(b.N) })
		})
	}
}
