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
	"path/filepath"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
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

// The texts that are pushed: a short one, and one of 1 KiB.
var (
	shortText = "今天天气怎么样? 明天呢?"
	longText  = strings.Repeat("天气", 170) + "ok?!"
)

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
	store, err := sqlite.Open(b.ctx, filepath.Join(w.Dir, "zhongkong.db"), sqlite.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = store.Close() }()
	var rows []row
	for _, m := range []struct {
		id, what, text string
		reply          bool
	}{
		{"callback-in", "callback in: verify, decrypt, parse, answer success", shortText, false},
		{"callback-back", "callback in and back: the same, and an encrypted text reply", shortText, true},
		{"callback-in-1k", "callback in, a text of 1 KiB: verify, decrypt, parse, answer success", longText, false},
		{"callback-back-1k", "callback in and back, a text of 1 KiB: the same, and an encrypted text reply, a short one", longText, true},
	} {
		handlers, err := w.handlers(list, key, m.reply)
		if err != nil {
			return nil, err
		}
		stored, err := handleOursWith(store, w.at, m.reply)
		if err != nil {
			return nil, err
		}
		medians, err := turns(max(b.rounds, 5)*4+1, list, func(name string) (sample, error) {
			pushes, err := b.pushes(w, batch, m.text)
			if err != nil {
				return nil, err
			}
			if handlers[name] == nil {
				return node.callbacks(b.ctx, pushes, m.reply)
			}
			without, err := handle(pushes, handlers[name], m.reply, name == floor)
			if err != nil || name != ours {
				return without, err
			}
			with, err := handle(pushes[:batch/5], stored, m.reply, false) // which never saw them
			return append(with, without...), err
		})
		if err != nil {
			return nil, err
		}
		printed := cells(medians, duration, duration)
		printed[ours][0].Text += " with SQLite"
		printed[ours][1].Text += " without a store"
		rows = append(rows, row{
			ID: m.id, What: m.what, Cells: printed,
			Note: "A text in safe mode through each one's handler, without a socket. The floor is base64, AES and SHA-1 of the same bytes, in and back, and nothing else. " +
				"zhongkong is measured with its default store, a SQLite file, to which the peers are compared, and without one, where a process remembers for itself; the peers have no store for messages. " +
				"zhongkong's also finds out whether the message came before, and keeps its answer for WeChat's repetitions. " +
				"co-wechat is given bodies that were read already.",
			Why: "**Callbacks.** Who finds out whether a message came before, and keeps the answer for WeChat's repetitions, does more than who does not; with a store it is written down before the answer goes out, so that a crash or another process changes nothing.",
		})
	}
	return rows, nil
}

// handlers returns the handlers of those in list that are written in Go.
func (w *world) handlers(list []string, key []byte, reply bool) (map[string]http.Handler, error) {
	handlers := make(map[string]http.Handler)
	for _, name := range list {
		if name == floor {
			handlers[name] = barest(key, w.AppID, reply)
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
		if wrong := recorders[i].answered(reply); !bare && wrong != nil {
			return nil, wrong
		}
	}
	return s, err
}

// answered returns an error unless there is an encrypted reply, or none.
func (w *recorder) answered(reply bool) error {
	if body := w.body.String(); w.status > 200 || reply != strings.Contains(body, "<Encrypt>") {
		return fmt.Errorf("status %d: %q", w.status, body)
	}
	return nil
}

// once measures n calls, each made once.
func once(n int, call func(i int)) (sample, error) {
	began := now()
	for i := range n {
		call(i)
	}
	return sample{float64(now()-began) / float64(n)}, nil
}

// pushes returns n messages with a text of a follower's.
func (b *bench) pushes(w *world, n int, text string) ([]push, error) {
	list := make([]push, n)
	for i := range list {
		r, err := w.NewRequest(b.ctx, simulator.Push{
			URL: "http://app.example.com/", Mode: simulator.Safe, Message: simulator.Text(text),
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

// barest does to a push, and to a reply to it, what has to be done to their bytes.
func barest(key []byte, appID string, reply bool) http.Handler {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	// 16 random bytes, a length, the reply and the AppID, filled up to 32 bytes.
	back := append(make([]byte, 16+4), "<xml><ToUserName><![CDATA[oAAAAAAAAAAAAAAAAAAAAAAAAAAA]]></ToUserName><FromUserName><![CDATA[gh_0123456789ab]]></FromUserName>"+
		"<CreateTime>1700000000</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA["+answer+"]]></Content></xml>"+appID...)
	fill := 32 - len(back)%32
	back = append(back, bytes.Repeat([]byte{byte(fill)}, fill)...)
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
			sealed := make([]byte, len(back))
			cipher.NewCBCEncrypter(block, key[:16]).CryptBlocks(sealed, back)
			encoded := base64.StdEncoding.AppendEncode(nil, sealed)
			sum = sha1.Sum(encoded)
			_, _ = w.Write(encoded)
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
