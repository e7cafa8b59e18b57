package gateway_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// The account's own Token and EncodingAESKey.
const (
	pushToken  = "madeUpToken0123"
	pushAESKey = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

var followers = []string{
	"oAbCd0123456789EfGhIjKlMnOp1", "oAbCd0123456789EfGhIjKlMnOp2", "oAbCd0123456789EfGhIjKlMnOp3",
	"oAbCd0123456789EfGhIjKlMnOp4", "oAbCd0123456789EfGhIjKlMnOp5",
}

// system is a company's system behind the gateway. What it knows of signatures and
// encryption it shares with nobody, so that package callback is not checked with
// itself.
type system struct {
	gateway.Subscriber

	app string // of a system behind an app of WeCom: corpid:agentid

	mu      sync.Mutex // guards what follows
	got     []got
	asked   int           // also while it is down
	away    bool          // nothing listens
	status  int           // 0: 200
	takes   time.Duration // to answer
	says    func(m got) string
	refused string // of a push that it would not have taken
}

// got is a push as a system received it.
type got struct {
	from, content string
	text          string // in plain text
	raw, query    string
	at            time.Time
}

// newSystem has keys of its own. An AES key has 43 letters and digits.
func newSystem(name string, mode fanout.Mode) *system {
	s := &system{Subscriber: gateway.Subscriber{
		Name: name, URL: "http://127.0.0.1/" + name, Token: custody.NewSecret("tokenOf" + name), Mode: mode,
	}}
	if mode != gateway.Plain {
		key := hex.EncodeToString(sha1Sum(name)) + "aaa"
		s.AESKey = custody.NewSecret(key)
	}
	return s
}

func sha1Sum(parts ...string) []byte {
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, "")))
	return sum[:]
}

func (s *system) change(f func(s *system)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// pushes is what it was given, each as follower:content.
func (s *system) pushes() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.got {
		list = append(list, g.from+":"+g.content)
	}
	return list
}

func (s *system) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

// element returns what stands in one of a message, XML or JSON.
func element(text, name string) string {
	for _, form := range []string{`<` + name + `>(?:<!\[CDATA\[)?(.*?)(?:\]\]>)?</` + name + `>`, `"` + name + `":"?([^",}]*)"?`} {
		if found := regexp.MustCompile(form).FindStringSubmatch(text); found != nil {
			return found[1]
		}
	}
	return ""
}

// ServeHTTP is the system's callback address.
func (s *system) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked++
	takes, status, says := s.takes, s.status, s.says
	s.mu.Unlock()
	raw, _ := io.ReadAll(r.Body)
	g := got{raw: string(raw), query: r.URL.RawQuery, at: time.Now()}
	if err := s.open(r, &g); err != nil {
		s.change(func(s *system) { s.refused = err.Error() })
		http.Error(w, "wrong", http.StatusForbidden)
		return
	}
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-r.Context().Done():
			return
		}
	}
	if status != 0 {
		http.Error(w, "trouble", status)
		return
	}
	s.change(func(s *system) { s.got = append(s.got, g) })
	answer := "success"
	if says != nil {
		if reply := says(g); reply != "" {
			answer = s.seal(g, reply)
		}
	}
	_, _ = io.WriteString(w, answer)
}

// open verifies a push as its own documents tell it to.
func (s *system) open(r *http.Request, g *got) error {
	q, token := r.URL.Query(), s.Token.Reveal()
	if s.app != "" {
		return s.openCorp(q, g)
	}
	if hex.EncodeToString(sha1Sum(token, q.Get("timestamp"), q.Get("nonce"))) != q.Get("signature") {
		return errors.New("signature")
	}
	encrypt := element(g.raw, "Encrypt")
	g.text = g.raw
	if s.Mode != gateway.Plain {
		if q.Get("encrypt_type") != "aes" || hex.EncodeToString(sha1Sum(token, q.Get("timestamp"), q.Get("nonce"), encrypt)) != q.Get("msg_signature") {
			return errors.New("msg_signature")
		}
		text, err := s.decrypt(encrypt)
		if err != nil {
			return err
		}
		g.text = text
	} else if encrypt != "" || q.Get("encrypt_type") != "" {
		return errors.New("encrypted, though its mode is plain")
	}
	g.from, g.content = element(g.text, "FromUserName"), element(g.text, "Content")
	if g.content == "" {
		g.content = element(g.text, "Event") + " " + element(g.text, "EventKey")
	}
	switch {
	case s.Mode == gateway.Safe && strings.Contains(g.raw, g.from):
		return errors.New("the follower stands in the clear in safe mode")
	case s.Mode == gateway.Compatible && (element(g.raw, "FromUserName") != g.from || element(g.raw, "MsgType") == ""):
		return errors.New("the plain fields are missing in compatible mode")
	case q.Get("openid") != g.from:
		return errors.New("openid")
	}
	return nil
}

// openCorp verifies a push as WeCom's documents tell it to: msg_signature and nothing else is
// in the query, and the envelope names the corp and the app.
func (s *system) openCorp(q url.Values, g *got) error {
	encrypt := element(g.raw, "Encrypt")
	switch {
	case len(q) != 3 || hex.EncodeToString(sha1Sum(s.Token.Reveal(), q.Get("timestamp"), q.Get("nonce"), encrypt)) != q.Get("msg_signature"):
		return fmt.Errorf("the query %v", q)
	case element(g.raw, "ToUserName")+":"+element(g.raw, "AgentID") != s.app:
		return fmt.Errorf("the envelope %s", g.raw)
	}
	var err error
	if g.text, err = s.decrypt(encrypt); err != nil {
		return err
	}
	g.from, g.content = element(g.text, "FromUserName"), element(g.text, "Content")
	if g.content == "" {
		g.content = element(g.text, "Event") + " " + element(g.text, "EventKey")
	}
	return nil
}

// receiver is for whom its pushes are, and what it answers.
func (s *system) receiver() string {
	if corp, _, isApp := strings.Cut(s.app, ":"); isApp {
		return corp
	}
	return appID
}

func (s *system) cipher() (cipher.Block, []byte) {
	key, _ := base64.StdEncoding.DecodeString(s.AESKey.Reveal() + "=")
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	return block, key[:aes.BlockSize]
}

func (s *system) decrypt(encrypt string) (string, error) {
	data, err := base64.StdEncoding.DecodeString(encrypt)
	if err != nil || len(data) == 0 || len(data)%32 != 0 {
		return "", fmt.Errorf("no whole blocks: %w", err)
	}
	block, iv := s.cipher()
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(data, data)
	data = data[:len(data)-int(data[len(data)-1])]
	n := binary.BigEndian.Uint32(data[16:])
	if string(data[20+n:]) != s.receiver() {
		return "", fmt.Errorf("for %q", data[20+n:])
	}
	return string(data[20 : 20+n]), nil
}

// seal answers reply in the mode of the system.
func (s *system) seal(g got, reply string) string {
	if s.Mode == gateway.Plain || !strings.HasPrefix(reply, "<") && !strings.HasPrefix(reply, "{") {
		return reply
	}
	data := bytes.Repeat([]byte("r"), 16)
	data = binary.BigEndian.AppendUint32(data, uint32(len(reply)))
	data = append(append(data, reply...), s.receiver()...)
	pad := 32 - len(data)%32
	data = append(data, bytes.Repeat([]byte{byte(pad)}, pad)...)
	block, iv := s.cipher()
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)
	encrypt := base64.StdEncoding.EncodeToString(data)
	const timestamp, nonce = "1713424427", "415670741"
	signature := hex.EncodeToString(sha1Sum(s.Token.Reveal(), timestamp, nonce, encrypt))
	if strings.HasPrefix(g.text, "{") {
		return fmt.Sprintf(`{"Encrypt":"%s","MsgSignature":"%s","TimeStamp":%s,"Nonce":"%s"}`, encrypt, signature, timestamp, nonce)
	}
	return fmt.Sprintf("<xml><Encrypt><![CDATA[%s]]></Encrypt><MsgSignature>%s</MsgSignature><TimeStamp>%s</TimeStamp><Nonce>%s</Nonce></xml>",
		encrypt, signature, timestamp, nonce)
}

// echo replies with what the follower wrote.
func echo(g got) string {
	return fmt.Sprintf("<xml><ToUserName><![CDATA[%s]]></ToUserName><FromUserName><![CDATA[%s]]></FromUserName><CreateTime>1713424427</CreateTime>"+
		"<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[you wrote %s]]></Content></xml>", g.from, element(g.text, "ToUserName"), g.content)
}

// company is the network between the gateway and its systems, by the paths of their
// addresses, without sockets.
type company []*system

func (c company) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, s := range c {
		if r.URL.Path != "/"+s.Name {
			continue
		}
		s.mu.Lock()
		away := s.away
		if away {
			s.asked++
		}
		s.mu.Unlock()
		if away {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}
		recorder := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.ServeHTTP(recorder, r)
		}()
		select {
		case <-done:
		case <-r.Context().Done():
			<-done
			return nil, r.Context().Err()
		}
		res := recorder.Result()
		res.Request = r
		return res, nil
	}
	return nil, errors.New("no such host")
}

func (c company) callback() *gateway.Callback {
	cb := &gateway.Callback{Token: custody.NewSecret(pushToken), AESKey: custody.NewSecret(pushAESKey)}
	for _, s := range c {
		cb.Subscribers = append(cb.Subscribers, s.Subscriber)
	}
	return cb
}

// pushing is a WeChat that pushes to gateways, without sockets.
type pushing struct {
	t  testing.TB
	wx *simtest.Sim
}

func pushWeChat(tb testing.TB, change func(*simulator.Account)) *pushing {
	tb.Helper()
	account := simulator.Account{AppID: appID, Secret: appSecret, Token: pushToken, AESKey: pushAESKey, Followers: followers}
	if change != nil {
		change(&account)
	}
	return &pushing{tb, simtest.InMemory(tb, simulator.Options{Accounts: []simulator.Account{account}})}
}

// gateway starts one over a store, with the systems behind it.
func (p *pushing) gateway(store store.Store, systems company, log *logtest.Log, change func(*gateway.Config)) *gateway.Gateway {
	p.t.Helper()
	cfg := gateway.Config{
		Accounts: []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Classic, Callback: systems.callback()}},
		Store:    store, SealKeys: []custody.Secret{sealKey}, APIBase: p.wx.URL, Transport: p.wx.RoundTripper(),
		Callbacks: systems, Logger: log.Logger(slog.LevelDebug), Access: log.Logger(slog.LevelDebug),
	}
	if change != nil {
		change(&cfg)
	}
	g, err := gateway.New(context.Background(), cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	return g
}

// push pushes through a gateway and returns what WeChat makes of its answer.
func (p *pushing) push(g http.Handler, m simulator.Message) simulator.Result {
	p.t.Helper()
	return p.deliver(simulator.Push{Handler: g, URL: "http://gateway.invalid/callback/" + appID, Message: m})
}

func (p *pushing) deliver(push simulator.Push) simulator.Result {
	p.t.Helper()
	result, err := p.wx.Deliver(context.Background(), push)
	if err != nil {
		p.t.Error(err)
	}
	return result
}

// replied wants the follower to see a text.
func (p *pushing) replied(g http.Handler, m simulator.Message, want string) {
	p.t.Helper()
	if result := p.push(g, m); result.Verdict != simulator.Replied || result.Sees != want {
		p.t.Errorf("the follower does not see %q: %s", want, result)
	}
}

// silent wants the follower to see nothing, after one delivery.
func (p *pushing) silent(g http.Handler, m simulator.Message) simulator.Result {
	p.t.Helper()
	result := p.push(g, m)
	if result.Verdict != simulator.Silent || len(result.Deliveries) != 1 {
		p.t.Errorf("it is not silent after one delivery: %s (%d deliveries)", result, len(result.Deliveries))
	}
	return result
}

// inOrder wants the texts of each follower in the order of their numbers, each want
// times in all, and none twice unless twice is allowed.
func inOrder(tb testing.TB, s *system, want []string, twice bool) {
	tb.Helper()
	var first []string
	for _, p := range s.pushes() {
		if !slices.Contains(first, p) {
			first = append(first, p)
		} else if !twice {
			tb.Errorf("%s got %s twice", s.Name, p)
		}
	}
	if len(first) != len(want) {
		tb.Errorf("%s got %d of %d pushes", s.Name, len(first), len(want))
	}
	for _, follower := range followers {
		of := func(list []string) (own []string) {
			for _, p := range list {
				if strings.HasPrefix(p, follower) {
					own = append(own, p)
				}
			}
			return own
		}
		if got, want := of(first), of(want); !slices.Equal(got, want) {
			tb.Errorf("%s got of one follower\n%q, want\n%q", s.Name, got, want)
		}
	}
}

var _ store.Queue = (*memory.Store)(nil)
