//go:build cgo && unix

package sqlite

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/bottest"
)

func TestThreeDeliveriesThreeProcesses(t *testing.T) {
	t.Parallel()
	bottest.ThreeDeliveries(t, newPath(t))
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
	folder, client := t.TempDir(), bottest.NewClient(t)
	address := filepath.Join(folder, base)
	var mu sync.Mutex // guards what follows
	bots := make([]*bottest.Process, 3)
	answered := make(map[int]bool)
	for i := range bots {
		bots[i] = bottest.MustStart(t, address, folder)
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
			fresh, err := bottest.Start(t, address, folder)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			old := bots[i]
			bots[i] = fresh
			mu.Unlock()
			old.Kill()
			kills++
		}
	})
	for id := 1; id <= count; id++ {
		time.Sleep(time.Second / rate)
		all.Go(func() {
			takes := rand.N(20 * time.Second)
			_, delivery := bottest.Push(t.Context(), client, bottest.Message(id, takes.String()), func(int) string {
				mu.Lock()
				defer mu.Unlock()
				return bots[rand.IntN(len(bots))].URL
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

	s := open(t, address, nil)
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
		bot.End()
	}
	if n := look(`SELECT count(*) FROM zhongkong_messages WHERE kept AND NOT finished`); n > 0 {
		t.Errorf("%d messages were answered and are lost", n)
	}
	again := 0
	for event, n := range bottest.Events(t, folder) {
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
