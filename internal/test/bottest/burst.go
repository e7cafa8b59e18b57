package bottest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

// What [KilledInBursts] does: the process that handles a burst is killed after some
// answers, ten times.
const (
	burstKills   = 10
	burstSenders = 16
	burstLeast   = 50  // answers before a kill
	burstMost    = 200 // likewise
)

// KilledInBursts kills a process ten times while it answers messages as fast as it can,
// on the store at address. Afterwards WeChat sends every message once more: none that
// was answered is handled again, one that a kill met in its handler is handled again, and
// each is finished once.
func KilledInBursts(t *testing.T, address string) {
	t.Helper()
	tier.Full(t)
	b := &burst{T: t, folder: t.TempDir(), sent: map[int]string{}, answered: map[int]bool{}}
	for range burstKills {
		b.round(MustStart(t, address, b.folder))
	}
	before := len(b.diary())
	again := MustStart(t, address, b.folder)
	b.repeat(again)
	again.End()
	b.judge(b.diary(), before)
}

// burst is one run of [KilledInBursts].
type burst struct {
	*testing.T

	folder string

	mu       sync.Mutex // guards what follows
	sent     map[int]string
	answered map[int]bool
}

// round sends messages to bot until it has answered some, kills it in the middle of them,
// and returns when every sender knows.
func (b *burst) round(bot *Process) {
	kill := burstLeast + rand.IntN(burstMost-burstLeast)
	transport := &http.Transport{MaxIdleConnsPerHost: burstSenders}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	first := len(b.answered)
	var senders sync.WaitGroup
	for range burstSenders {
		senders.Go(func() {
			for {
				b.mu.Lock()
				id := len(b.sent) + 1
				message := Message(id, "0s")
				b.sent[id] = message
				b.mu.Unlock()
				if _, ok := pushOnce(b.Context(), client, bot.URL, message); !ok {
					return // killed
				}
				b.mu.Lock()
				b.answered[id] = true
				due := len(b.answered) == first+kill
				b.mu.Unlock()
				if due {
					bot.Kill()
				}
			}
		})
	}
	senders.Wait()
}

// repeat sends every message again, as often as WeChat does.
func (b *burst) repeat(bot *Process) {
	client := NewClient(b.T)
	ids := make(chan int)
	var senders sync.WaitGroup
	for range burstSenders {
		senders.Go(func() {
			for id := range ids {
				content, delivery := Push(b.Context(), client, b.sent[id], func(int) string { return bot.URL })
				if delivery == 0 || content != fmt.Sprint(id) {
					b.Errorf("the repetition of message %d is answered with %q at delivery %d, want its answer", id, content, delivery)
				}
			}
		})
	}
	for id := range b.sent {
		ids <- id
	}
	close(ids)
	senders.Wait()
}

// diary returns the lines that the bots have written, in their order.
func (b *burst) diary() []string {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(b.folder, "diary"))
	if err != nil {
		b.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// judge reads the diary, in which the lines from before on are those of the repetitions.
func (b *burst) judge(lines []string, before int) {
	begun, finished, missed := map[string]int{}, map[string]int{}, map[string]bool{}
	again := 0
	for i, line := range lines {
		what, rest, _ := strings.Cut(line, " ")
		switch what {
		case "begun":
			begun[rest]++
			if i >= before {
				again++
			}
		case "finished":
			key, _, _ := strings.Cut(rest, " ")
			finished[key]++
		case "missed":
			missed[rest] = true // the store did not answer in time, as this machine was too busy
		}
	}
	for id, message := range b.sent {
		n, name := begun[fmt.Sprint(id)], keyOf(b.T, message)
		switch {
		case missed[name]:
		case b.answered[id] && n != 1:
			b.Errorf("message %d was answered, and begun %d times", id, n)
		case n == 0 || n > 2:
			b.Errorf("message %d was begun %d times", id, n)
		case finished[name] > 1:
			b.Errorf("message %d was finished %d times", id, finished[name])
		}
	}
	b.Logf("%d messages, %d kills: %d answered; %d of the others were handled after it; %d not in the store as this machine was too busy",
		len(b.sent), burstKills, len(b.answered), again, len(missed))
	if len(b.answered)-len(missed) < burstKills*burstLeast || again == 0 && len(b.sent) == len(b.answered) {
		b.Error("no kill fell into a burst")
	}
}
