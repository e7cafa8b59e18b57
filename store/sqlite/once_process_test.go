//go:build cgo && unix

package sqlite

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

	"github.com/zhongkong-go/zhongkong"
	"github.com/zhongkong-go/zhongkong/callback"
)

// botToken is the Token of the bots below, which run in plain mode.
const botToken = "AAAAA"

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

// watched writes down what is finished.
type watched struct {
	*Store
	diary diary
}

func (w watched) Finish(ctx context.Context, key, owner string, answer []byte, keep time.Duration) (held, kept bool, err error) {
	held, kept, err = w.Store.Finish(ctx, key, owner, answer, keep)
	if held && err == nil && (!kept || len(answer) == 0) {
		w.diary.write("finished", key)
	}
	return held, kept, err
}

// playBot is the main of a process that answers messages: each says how long its
// handler takes, and gets its MsgId back. It ends when it is killed or stdin is.
func playBot(ctx context.Context) int {
	fail := func(err error) int {
		fmt.Println(err)
		return 1
	}
	file, err := os.OpenFile("diary", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fail(err)
	}
	d := diary{file}
	store, err := Open(ctx, base, Options{})
	if err != nil {
		return fail(err)
	}
	verifier, err := callback.NewVerifier(callback.Config{AppID: "wx0123456789abcdef", Token: zhongkong.NewSecret(botToken), Freshness: 5 * time.Minute})
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

// botProcess is a running playBot.
type botProcess struct {
	url   string
	cmd   *exec.Cmd
	stdin io.Closer
}

func startBot(t *testing.T, folder string) (*botProcess, error) {
	t.Helper()
	cmd := process(t, "bot", folder)
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
	return &botProcess{url: "http://" + strings.TrimSpace(line), cmd: cmd, stdin: stdin}, nil
}

func mustStartBot(t *testing.T, folder string) *botProcess {
	t.Helper()
	bot, err := startBot(t, folder)
	if err != nil {
		t.Fatal(err)
	}
	return bot
}

func (b *botProcess) kill() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
}

func (b *botProcess) end() {
	_ = b.stdin.Close()
	_ = b.cmd.Wait()
}

// botMessage is a text as WeChat sends it.
func botMessage(id int, content string) string {
	return fmt.Sprintf("<xml><ToUserName><![CDATA[gh_0123456789ab]]></ToUserName>\n<FromUserName><![CDATA[oAbCd0123456789EfGhIjKlMnOpQ]]></FromUserName>\n"+
		"<CreateTime>%d</CreateTime>\n<MsgType><![CDATA[text]]></MsgType>\n<Content><![CDATA[%s]]></Content>\n<MsgId>%d</MsgId>\n</xml>",
		time.Now().Unix(), content, id)
}

// push sends message three times, 5 s apart, until somebody answers, to where next
// says. It returns the answer's Content and the delivery that got it, 0 if none did.
func push(ctx context.Context, client *http.Client, message string, next func(delivery int) string) (content string, delivery int) {
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

// events counts the lines of the diary.
func events(t *testing.T, folder string) map[string]int {
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

func newClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TestThreeDeliveriesThreeProcesses: each delivery of a message meets another
// process. The handler runs once, and the follower gets one answer.
func TestThreeDeliveriesThreeProcesses(t *testing.T) {
	t.Parallel()
	folder, client := t.TempDir(), newClient(t)
	var bots []*botProcess
	for range 3 {
		bot := mustStartBot(t, folder)
		defer bot.end()
		bots = append(bots, bot)
	}
	var all sync.WaitGroup
	for i, test := range []struct {
		takes    string
		delivery int
		late     bool
	}{{"0s", 1, false}, {"7s", 2, false}, {"12s", 3, false}, {"17s", 3, true}} {
		id := 1 + i
		all.Go(func() {
			content, delivery := push(t.Context(), client, botMessage(id, test.takes), func(d int) string { return bots[(i+d)%3].url })
			want := strconv.Itoa(id)
			if test.late {
				want = ""
			}
			if delivery != test.delivery || content != want {
				t.Errorf("%s: delivery %d is answered with %q, want %d and %q", test.takes, delivery, content, test.delivery, want)
			}
		})
	}
	all.Wait()
	deadline := time.Now().Add(20 * time.Second)
	for events(t, folder)["sent 4"] == 0 && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond)
	}
	for _, bot := range bots {
		bot.end()
	}
	got := events(t, folder)
	for id := 1; id <= 4; id++ {
		sent := 0
		if id == 4 {
			sent = 1
		}
		if got[fmt.Sprint("begun ", id)] != 1 || got[fmt.Sprint("sent ", id)] != sent {
			t.Errorf("message %d: begun %d times, sent %d times", id, got[fmt.Sprint("begun ", id)], got[fmt.Sprint("sent ", id)])
		}
	}
}

// soakVariable sets the number of messages of TestSoakProcesses.
const soakVariable = "ZHONGKONG_SOAK"

// TestSoakProcesses sends messages with handlers of 0 to 20 s to three processes
// that share a file, and kills one of them every few seconds: what was answered is
// handled, and nothing is finished twice.
func TestSoakProcesses(t *testing.T) {
	t.Parallel()
	count := 300
	if n, err := strconv.Atoi(os.Getenv(soakVariable)); err == nil && n > 0 {
		count = n
	}
	const rate = 25 // messages a second
	folder, client := t.TempDir(), newClient(t)
	var mu sync.Mutex // guards what follows
	bots := make([]*botProcess, 3)
	answered := make(map[int]bool)
	for i := range bots {
		bots[i] = mustStartBot(t, folder)
	}
	kills := 0
	over := make(chan struct{})
	var killer, all sync.WaitGroup
	killer.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(6 * time.Second):
			}
			i := rand.IntN(len(bots))
			fresh, err := startBot(t, folder)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			old := bots[i]
			bots[i] = fresh
			mu.Unlock()
			old.kill()
			kills++
		}
	})
	for id := 1; id <= count; id++ {
		time.Sleep(time.Second / rate)
		all.Go(func() {
			takes := rand.N(20 * time.Second)
			_, delivery := push(t.Context(), client, botMessage(id, takes.String()), func(int) string {
				mu.Lock()
				defer mu.Unlock()
				return bots[rand.IntN(len(bots))].url
			})
			if delivery > 0 {
				mu.Lock()
				answered[id] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	close(over)
	killer.Wait()

	s := open(t, filepath.Join(folder, base), nil)
	look := func(query string) (n int) {
		t.Helper()
		var err error
		for range 50 {
			if f := s.present(); f == nil {
				_, _, _, _ = s.Take(t.Context(), "nobody", "nobody", time.Second) // opens it
			} else if err = f.db.GetContext(t.Context(), &n, query); err == nil {
				return n
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Fatal(err)
		return 0
	}
	deadline := time.Now().Add(2 * time.Minute)
	for look(`SELECT count(*) FROM zhongkong_messages WHERE kept AND NOT finished`) > 0 && time.Now().Before(deadline) {
		time.Sleep(250 * time.Millisecond)
	}
	for _, bot := range bots {
		bot.end()
	}
	if n := look(`SELECT count(*) FROM zhongkong_messages WHERE kept AND NOT finished`); n > 0 {
		t.Errorf("%d messages were answered and are lost", n)
	}
	again := 0
	for event, n := range events(t, folder) {
		if strings.HasPrefix(event, "begun ") && n > 1 {
			again++
		}
		if strings.HasPrefix(event, "finished ") && n > 1 {
			t.Errorf("%d times %s", n, event)
		}
	}
	finished := look(`SELECT count(*) FROM zhongkong_messages WHERE finished`)
	if finished < len(answered) {
		t.Errorf("%d messages were answered, and %d handled", len(answered), finished)
	}
	t.Logf("%d messages, %d kills: %d answered, %d handled, %d started again because a kill fell in between", count, kills, len(answered), finished, again)
	if kills < 2 || len(answered) < count/2 {
		t.Error("the soak did not do what it is for")
	}
}
