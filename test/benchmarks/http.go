package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// push is a request of WeChat's, kept to be made again.
type push struct {
	url     string
	header  http.Header
	body    []byte
	encrypt []byte // of the body
}

func (p push) request() *http.Request {
	r := httptest.NewRequest(http.MethodPost, p.url, bytes.NewReader(p.body))
	r.Header = p.header
	return r
}

// recorder keeps an answer without much ado.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }
func (w *recorder) WriteHeader(s int)   { w.status = s }
func (w *recorder) Write(p []byte) (int, error) {
	return w.body.Write(p)
}

// callbacks measures a text's way through the handler, in safe mode, and the
// encrypted reply's way back. Every push is a new message, since ours remembers
// what it has answered.
func callbacks(b *bench) ([]row, error) {
	const batch = 100
	w, err := b.newWorld(simulator.Options{})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	key, err := base64.StdEncoding.DecodeString(w.AESKey + "=")
	if err != nil {
		return nil, err
	}
	list := append([]string{floor}, b.names(answersCallbacks)...)
	var node *nodeAccount
	if b.npm != "" {
		if node, err = b.openNode(w.at); err != nil {
			return nil, err
		}
		defer func() { _ = node.Close() }()
	}
	var rows []row
	for _, reply := range []bool{false, true} {
		handlers, err := w.handlers(list, key, reply)
		if err != nil {
			return nil, err
		}
		medians, err := turns(max(b.rounds, 5)*4+1, list, func(name string) (sample, error) {
			pushes, err := b.pushes(w, batch)
			if err != nil {
				return nil, err
			}
			if handlers[name] == nil {
				return node.callbacks(b.ctx, pushes, reply)
			}
			return handle(pushes, handlers[name], reply, name == floor)
		})
		if err != nil {
			return nil, err
		}
		id, what := "callback-in", "callback in: verify, decrypt, parse, answer success"
		if reply {
			id, what = "callback-back", "callback in and back: the same, and an encrypted text reply"
		}
		rows = append(rows, row{
			ID: id, What: what, Cells: cells(medians, duration),
			Note: "A text in safe mode through each one's handler, without a socket. The floor is base64, AES and SHA-1 of the same bytes and nothing else. " +
				"zhongkong's also finds out whether the message came before, and keeps its answer for WeChat's repetitions. " +
				"co-wechat is given bodies that were read already.",
			Why: "**Callbacks.** Who finds out whether a message came before, and keeps the answer for WeChat's repetitions, does more than who does not.",
		})
	}
	return rows, nil
}

// handlers returns the handlers of those in list that are written in Go.
func (w *world) handlers(list []string, key []byte, reply bool) (map[string]http.Handler, error) {
	handlers := make(map[string]http.Handler)
	for _, name := range list {
		if name == floor {
			handlers[name] = barest(key, reply)
			continue
		}
		p, err := peerNamed(name)
		if err != nil {
			return nil, err
		}
		if p.node {
			continue
		}
		if handlers[name], err = p.handler(w.at, reply); err != nil {
			return nil, err
		}
	}
	return handlers, nil
}

// handle measures a handler on pushes and looks at its answers, but for the floor's.
func handle(pushes []push, handler http.Handler, reply, bare bool) (sample, error) {
	requests, recorders := make([]*http.Request, len(pushes)), make([]recorder, len(pushes))
	for i, p := range pushes {
		requests[i], recorders[i].header = p.request(), http.Header{}
	}
	s, err := once(len(pushes), func(i int) { handler.ServeHTTP(&recorders[i], requests[i]) })
	for i := range recorders {
		body := recorders[i].body.String()
		if !bare && (recorders[i].status > 200 || reply != strings.Contains(body, "<Encrypt>")) {
			return nil, fmt.Errorf("status %d: %q", recorders[i].status, body)
		}
	}
	return s, err
}

// once measures n calls, each made once.
func once(n int, call func(i int)) (sample, error) {
	began := now()
	for i := range n {
		call(i)
	}
	return sample{float64(now()-began) / float64(n)}, nil
}

// pushes returns n texts of a follower's.
func (b *bench) pushes(w *world, n int) ([]push, error) {
	list := make([]push, n)
	for i := range list {
		r, err := w.NewRequest(b.ctx, simulator.Push{
			URL: "http://app.example.com/", Mode: simulator.Safe, Message: simulator.Text("今天天气怎么样? 明天呢?"),
		})
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		_, encrypt, _ := bytes.Cut(body, []byte("<Encrypt><![CDATA["))
		encrypt, _, ok := bytes.Cut(encrypt, []byte("]]>"))
		if !ok {
			return nil, errors.New("a push without Encrypt")
		}
		list[i] = push{url: r.URL.String(), header: r.Header, body: body, encrypt: encrypt}
	}
	return list, nil
}

// barest does to a push what has to be done to its bytes.
func barest(key []byte, reply bool) http.Handler {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, encrypt, _ := bytes.Cut(body, []byte("<Encrypt><![CDATA["))
		encrypt, _, _ = bytes.Cut(encrypt, []byte("]]>"))
		sum := sha1.Sum(encrypt)
		plain := make([]byte, base64.StdEncoding.DecodedLen(len(encrypt)))
		n, _ := base64.StdEncoding.Decode(plain, encrypt)
		plain = plain[:n]
		cipher.NewCBCDecrypter(block, key[:16]).CryptBlocks(plain, plain)
		if reply {
			cipher.NewCBCEncrypter(block, key[:16]).CryptBlocks(plain, plain)
			sum = sha1.Sum(base64.StdEncoding.AppendEncode(nil, plain))
		}
		_, _ = w.Write(sum[:])
	})
}

// middleware measures a request that is none of WeChat's.
func middleware(b *bench) ([]row, error) {
	w, err := b.newWorld(simulator.Options{})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	client, err := wechat.New(wechat.Config{
		AppID: w.AppID, AppSecret: wechat.Secret(w.Secret), Token: wechat.Secret(w.Token), APIBase: w.URL, StoreURL: "memory:",
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	gin.SetMode(gin.ReleaseMode)
	engine := func(middleware gin.HandlerFunc) func() (sample, error) {
		e := gin.New()
		e.Use(middleware)
		e.GET("/menu", func(*gin.Context) {})
		r, w := httptest.NewRequest(http.MethodGet, "/menu", http.NoBody), &recorder{header: http.Header{}}
		return timed(func() error { e.ServeHTTP(w, r); return nil })
	}
	medians, err := b.perCall(map[string]func() (sample, error){
		floor: engine(func(c *gin.Context) { c.Set("wechat", client); c.Next() }),
		ours:  engine(client.Middleware()),
	})
	return []row{{
		ID: "middleware", What: "a request through the Gin middleware, not for the callback's path", Cells: cells(medians, duration),
		Note: "The floor is Gin with a middleware of c.Set and c.Next. The peers have no Gin middleware.",
	}}, err
}
