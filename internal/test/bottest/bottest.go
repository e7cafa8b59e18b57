// Package bottest tries once-handling with real processes that share a store: the
// binary of a store's tests, run again, is a bot. Only tests import it.
package bottest

import (
	"bufio"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

// botToken is the Token of the bots, which run in plain mode.
const botToken = "AAAAA"

// addressVariable tells such a process where its store is.
const addressVariable = "ZHONGKONG_BOT_STORE"

// Store is one that remembers messages.
type Store interface {
	callback.Once
	Close() error
}

// Main makes this process a bot if a test has started it as one, and otherwise
// returns. A store's TestMain calls it first.
func Main(open func(ctx context.Context, address string) (Store, error)) {
	if address := os.Getenv(addressVariable); address != "" {
		os.Exit(play(context.Background(), func(ctx context.Context) (Store, error) { return open(ctx, address) }))
	}
}

// diary is where the bots write down what they do, a line for each thing, which
// the system appends as a whole.
type diary struct{ *os.File }

func (d diary) write(event string, what any) {
	_, _ = fmt.Fprintf(d.File, "%s %v\n", event, what)
}

// Send implements callback.Sender.
func (d diary) Send(_ context.Context, _ string, reply *callback.Reply) error {
	d.write("sent", reply.Content)
	return nil
}

// watched writes down what is finished, and what the store did not take in time.
type watched struct {
	Store
	diary diary
}

func (w watched) Claim( //nolint:revive // the contract of messages
	ctx context.Context,
	account, key, owner string,
	lease, keep time.Duration,
) (attempt, delivery int, age time.Duration, err error) {
	attempt, delivery, age, err = w.Store.Claim(ctx, account, key, owner, lease, keep)
	if err != nil {
		w.diary.write("missed", key)
	}
	return attempt, delivery, age, err
}

func (w watched) Keep(ctx context.Context, key string, message []byte) (finished bool, answer []byte, err error) {
	finished, answer, err = w.Store.Keep(ctx, key, message)
	if err != nil {
		w.diary.write("missed", key)
	}
	return finished, answer, err
}

func (w watched) Finish(ctx context.Context, key, owner string, answer []byte, keep time.Duration) (held, kept bool, err error) {
	held, kept, err = w.Store.Finish(ctx, key, owner, answer, keep)
	switch {
	case err != nil: // it is answered all the same, and recorded at the next try
		w.diary.write("missed", key)
	case held && (!kept || len(answer) == 0):
		w.diary.write("finished", key+" "+owner)
	}
	return held, kept, err
}

// play is the main of a process that answers messages: each says how long its
// handler takes, and gets its MsgId back. It ends when it is killed or stdin is.
func play(ctx context.Context, open func(ctx context.Context) (Store, error)) int {
	fail := func(err error) int {
		fmt.Println(err)
		return 1
	}
	file, err := os.OpenFile("diary", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fail(err)
	}
	d := diary{file}
	store, err := open(ctx)
	if err != nil {
		return fail(err)
	}
	verifier, err := callback.NewVerifier(
		callback.Config{AppID: "wx0123456789abcdef", Token: custody.NewSecret(botToken), Freshness: 5 * time.Minute},
	)
	if err != nil {
		return fail(err)
	}
	bot := callback.NewRouter()
	bot.Default(func(c *callback.Context) error {
		d.write("begun", c.Message.ID)
		takes, err := time.ParseDuration(c.Message.Content)
		if err != nil {
			return err
		}
		select {
		case <-time.After(takes):
			return c.ReplyText(fmt.Sprint(c.Message.ID))
		case <-c.Done():
			return c.Err()
		}
	})
	endpoint, err := callback.NewEndpoint(callback.EndpointConfig{Verifier: verifier, Router: bot, Once: watched{store, d}, Sender: d})
	if err != nil {
		return fail(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fail(err)
	}
	fmt.Println(listener.Addr())
	server := &http.Server{Handler: endpoint, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = server.Shutdown(short)
	_ = endpoint.Shutdown(short)
	_ = store.Close()
	return 0
}

// Process is a bot that runs.
type Process struct {
	URL   string
	cmd   *exec.Cmd
	stdin io.Closer
}

// Start starts a bot on the store at address. It keeps its diary in folder, which
// is its working directory.
func Start(t *testing.T, address, folder string) (*Process, error) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), addressVariable+"="+address)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "127.") {
		return nil, fmt.Errorf("the process says %q, %w", line, err)
	}
	return &Process{URL: "http://" + strings.TrimSpace(line), cmd: cmd, stdin: stdin}, nil
}

// MustStart is Start for a test that wants no error.
func MustStart(t *testing.T, address, folder string) *Process {
	t.Helper()
	bot, err := Start(t, address, folder)
	if err != nil {
		t.Fatal(err)
	}
	return bot
}

// Kill is a crash.
func (b *Process) Kill() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
}

// End ends the bot as a signal would.
func (b *Process) End() {
	_ = b.stdin.Close()
	_ = b.cmd.Wait()
}

// Message is a text as WeChat sends it: content says how long the handler takes.
func Message(id int, content string) string {
	return fmt.Sprintf("<xml><ToUserName><![CDATA[gh_0123456789ab]]></ToUserName>\n<FromUserName><![CDATA[oAbCd0123456789EfGhIjKlMnOpQ]]></FromUserName>\n"+
		"<CreateTime>%d</CreateTime>\n<MsgType><![CDATA[text]]></MsgType>\n<Content><![CDATA[%s]]></Content>\n<MsgId>%d</MsgId>\n</xml>",
		time.Now().Unix(), content, id)
}

// Push sends message three times, 5 s apart, until somebody answers, to where next
// says. It returns the answer's Content and the delivery that got it, 0 if none did.
func Push(ctx context.Context, client *http.Client, message string, next func(delivery int) string) (content string, delivery int) {
	for i := range 3 {
		begun := time.Now()
		if body, ok := pushOnce(ctx, client, next(i), message); ok {
			var reply struct{ Content string }
			_ = xml.Unmarshal([]byte(body), &reply) // "success" has no Content
			return reply.Content, i + 1
		}
		select {
		case <-time.After(5*time.Second - time.Since(begun)):
		case <-ctx.Done():
			return "", 0
		}
	}
	return "", 0
}

func pushOnce(ctx context.Context, client *http.Client, url, message string) (body string, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	timestamp, nonce := strconv.FormatInt(time.Now().Unix(), 10), strconv.Itoa(rand.IntN(1e9))
	url += "/?signature=" + callback.Signature(botToken, timestamp, nonce) + "&timestamp=" + timestamp + "&nonce=" + nonce
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(message))
	if err != nil {
		return "", false
	}
	response, err := client.Do(request)
	if err != nil {
		return "", false
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	return string(answer), err == nil && response.StatusCode == http.StatusOK
}

// Events counts the lines of the bots' diary: begun and sent with the id of a
// message, finished with its key and who did it, missed with its key when the store
// did not answer in time.
func Events(t *testing.T, folder string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "diary"))
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		count[strings.TrimSpace(line)]++
	}
	return count
}

// NewClient returns a client that keeps no connection.
func NewClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// ThreeDeliveries lets each delivery of a message meet another process, on the
// store at address. The handler runs once, and the follower gets one answer. A
// process whose store does not answer in time is alone with a message, and one that
// stands still is late with its answer, so that a run in which that happened proves
// nothing and is repeated.
func ThreeDeliveries(t *testing.T, address string) {
	t.Helper()
	tier.Full(t)
	first := 1
	faults, _ := patience.Undisturbed(t, "three deliveries", 250*time.Millisecond, func() (faults []string, excused bool) {
		defer func() { first += 4 }()
		return threeDeliveries(t, address, first)
	})
	for _, fault := range faults {
		t.Error(fault)
	}
}

// threeDeliveries is a run of [ThreeDeliveries] with four messages, from the id first
// on. It returns what went wrong, and whether the store did not answer in time.
func threeDeliveries(t *testing.T, address string, first int) (faults []string, missed bool) {
	t.Helper()
	folder, client := t.TempDir(), NewClient(t)
	var mu sync.Mutex // guards faults
	fault := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		faults = append(faults, fmt.Sprintf(format, args...))
	}
	var bots []*Process
	for range 3 {
		bot := MustStart(t, address, folder)
		defer bot.End()
		bots = append(bots, bot)
	}
	var all sync.WaitGroup
	var messages []string
	for i, test := range []struct {
		takes    string
		delivery int
		late     bool
	}{{"0s", 1, false}, {"7s", 2, false}, {"12s", 3, false}, {"17s", 3, true}} {
		id := first + i
		message := Message(id, test.takes)
		messages = append(messages, message)
		all.Go(func() {
			content, delivery := Push(t.Context(), client, message, func(d int) string { return bots[(i+d)%3].URL })
			want := strconv.Itoa(id)
			if test.late {
				want = ""
			}
			if delivery != test.delivery || content != want {
				fault("%s: delivery %d is answered with %q, want %d and %q", test.takes, delivery, content, test.delivery, want)
			}
		})
	}
	all.Wait()
	last := first + len(messages) - 1
	patience.Wait(func() bool { return Events(t, folder)[fmt.Sprint("sent ", last)] > 0 })
	for _, bot := range bots {
		bot.End()
	}
	got := Events(t, folder)
	for i, message := range messages {
		id, sent := first+i, 0
		if id == last {
			sent = 1
		}
		if got[fmt.Sprint("begun ", id)] != 1 || got[fmt.Sprint("sent ", id)] != sent {
			fault("message %d: begun %d times, sent %d times", id, got[fmt.Sprint("begun ", id)], got[fmt.Sprint("sent ", id)])
		}
		missed = missed || got["missed "+keyOf(t, message)] > 0
	}
	return faults, missed
}

// soakVariable sets the number of messages of [Soak].
const soakVariable = "ZHONGKONG_SOAK"

// What [Soak] sends and how long it waits: a message whose process was killed is
// taken up within its lease and a look, and is handled for as long as it takes.
const (
	soakMessages = 100
	soakRate     = 25 // a second
	soakLongest  = 20 * time.Second
	soakKills    = 6 * time.Second
	soakQuiet    = soakLongest + 12*time.Second
)

// Soak sends messages with handlers of 0 to 20 s to three processes on the store
// at address, and kills one of them every few seconds: what was answered is
// handled, and nothing is finished twice.
func Soak(t *testing.T, address string) {
	t.Helper()
	tier.Full(t)
	count := soakMessages
	if n, err := strconv.Atoi(os.Getenv(soakVariable)); err == nil && n > 0 {
		count = n
	}
	s := &soak{T: t, address: address, folder: t.TempDir(), answered: map[int]string{}}
	for range 3 {
		s.bots = append(s.bots, MustStart(t, address, s.folder))
	}
	over := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() { s.kill(over) })
	client := NewClient(t)
	s.send(client, count)
	close(over)
	killer.Wait()
	before := quiet(t, s.folder)

	// WeChat's own window has passed: what was handled is answered with success, and
	// what was lost would be begun now.
	for id, message := range s.answered {
		if _, ok := pushOnce(t.Context(), client, s.anyBot(0), message); !ok {
			t.Errorf("the repetition of message %d is not answered", id)
		}
	}
	after := Events(t, s.folder)
	for _, bot := range s.bots {
		bot.End()
	}
	again, handled := s.finished(before)
	missed := s.lost(before, after)
	t.Logf("%d messages, %d kills: %d answered, %d seen finished, %d started again because a kill fell in between, "+
		"%d not in the store as this machine was too busy", count, s.kills, len(s.answered), handled, again, missed)
	if s.kills < 2 || len(s.answered)-missed < count/4 {
		t.Error("the soak did not do what it is for")
	}
}

// soak is one run of [Soak].
type soak struct {
	*testing.T

	address, folder string
	kills           int

	mu       sync.Mutex // guards what follows
	bots     []*Process
	answered map[int]string // the messages, by id
}

func (s *soak) anyBot(int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bots[rand.IntN(len(s.bots))].URL
}

// kill replaces a process by a new one every few seconds, until over is closed.
func (s *soak) kill(over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-time.After(soakKills):
		}
		fresh, err := Start(s.T, s.address, s.folder)
		if err != nil {
			s.Error(err)
			return
		}
		i := rand.IntN(len(s.bots))
		s.mu.Lock()
		old := s.bots[i]
		s.bots[i] = fresh
		s.mu.Unlock()
		old.Kill()
		s.kills++
	}
}

// send sends messages at the soak's rate and returns when WeChat is done with them.
func (s *soak) send(client *http.Client, count int) {
	var all sync.WaitGroup
	pace := time.NewTicker(time.Second / soakRate)
	defer pace.Stop()
	for id := 1; id <= count; id++ {
		<-pace.C
		all.Go(func() {
			message := Message(id, rand.N(soakLongest).String())
			if _, delivery := Push(s.Context(), client, message, s.anyBot); delivery > 0 {
				s.mu.Lock()
				s.answered[id] = message
				s.mu.Unlock()
			}
		})
	}
	all.Wait()
}

// finished counts the messages that were begun again and those that were finished,
// which happens once to each.
func (s *soak) finished(events map[string]int) (again, handled int) {
	finishers := make(map[string]int)
	for event, n := range events {
		what, rest, _ := strings.Cut(event, " ")
		key, _, _ := strings.Cut(rest, " ")
		switch {
		case what == "begun" && n > 1:
			again++
		case what == "finished":
			if finishers[key]++; finishers[key] == 1 {
				handled++
			} else {
				s.Errorf("message %s was finished by %d", key, finishers[key])
			}
		}
	}
	return again, handled
}

// lost checks that every answered message was begun before its repetition, and not
// because of it. It counts those that a process could not put into the store, and
// said so.
func (s *soak) lost(before, after map[string]int) (missed int) {
	for id, message := range s.answered {
		if before["missed "+keyOf(s.T, message)] > 0 {
			missed++
			continue
		}
		if begun := fmt.Sprint("begun ", id); before[begun] == 0 || after[begun] != before[begun] {
			s.Errorf("message %d was answered and is lost: it was begun %d times, and now %d", id, before[begun], after[begun])
		}
	}
	return missed
}

// keyOf is what the store knows a message by.
func keyOf(t *testing.T, message string) string {
	t.Helper()
	m, err := callback.ParseMessage([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	return m.Key()
}

// quiet waits until nobody has written into the diary for long enough, and
// returns what stands there.
func quiet(t *testing.T, folder string) map[string]int {
	t.Helper()
	size, since := int64(-1), time.Now()
	look := time.NewTicker(250 * time.Millisecond)
	defer look.Stop()
	for ; time.Since(since) < soakQuiet; <-look.C {
		info, err := os.Stat(filepath.Join(folder, "diary"))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() != size {
			size, since = info.Size(), time.Now()
		}
	}
	return Events(t, folder)
}
