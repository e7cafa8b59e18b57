package storetest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/store"
)

// Once is [store.Once].
type Once = store.Once

// RunOnce checks a store that keeps the contract of callback.Once as well. options
// are those of [RunWith].
func RunOnce(t *testing.T, options Options) {
	t.Helper()
	if options.Handles <= 0 {
		options.Handles = 4
	}
	for _, c := range []struct {
		name  string
		check func(t *testing.T, f *onceFixture)
	}{
		{"OneWinner", checkOnceOneWinner},
		{"OwnClaimAgain", checkOnceOwnClaimAgain},
		{"Finish", checkOnceFinish},
		{"Waiters", checkOnceWaiters},
		{"LeaseEnds", checkOnceLeaseEnds},
		{"WaitTakesOver", checkOnceWaitTakesOver},
		{"LateHolder", checkOnceLateHolder},
		{"Hold", checkOnceHold},
		{"Release", checkOnceRelease},
		{"Keep", checkOnceKeep},
		{"KeepNothing", checkOnceKeepNothing},
		{"Take", checkOnceTake},
		{"TakeOfNoAccount", checkOnceTakeOfNoAccount},
		{"TakeOnce", checkOnceTakeOnce},
		{"Forgets", checkOnceForgets},
		{"Age", checkOnceAge},
		{"KeysApart", checkOnceKeysApart},
		{"Sizes", checkOnceSizes},
		{"Limits", checkOnceLimits},
		{"CallersBytes", checkOnceCallersBytes},
		{"Unknown", checkOnceUnknown},
		{"EndedContext", checkOnceEndedContext},
		{"Close", checkOnceClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &onceFixture{t: t}
			for _, handle := range newFixture(t, options).handles {
				once, ok := handle.(Once)
				if !ok {
					t.Fatalf("%T does not implement callback.Once", handle)
				}
				f.handles = append(f.handles, once)
			}
			c.check(t, f)
		})
	}
}

const (
	onceAccount = "wx0123456789abcdef"
	onceKey     = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
)

// onceFixture is one place for data and the handles on it.
type onceFixture struct {
	t       *testing.T
	handles []Once
}

func (f *onceFixture) once(i int) Once { return f.handles[i%len(f.handles)] }

// What a call is expected to return.
type (
	claimResult struct{ attempt, delivery int }
	holdResult  struct{ held, kept bool }
	takeResult  struct {
		key, message string
		attempt      int
	}
)

func (f *onceFixture) claim(i int, key, owner string, lease time.Duration, want claimResult) {
	f.t.Helper()
	attempt, delivery, age, err := f.once(i).Claim(in(f.t), onceAccount, key, owner, lease, time.Hour)
	if got := (claimResult{attempt, delivery}); err != nil || got != want || age < 0 || age > callTime {
		f.t.Fatalf("Claim by %s = %+v, age %s, %v; want %+v", owner, got, age, err, want)
	}
}

func (f *onceFixture) wait(i int, key, owner string, attempt int, answer string) {
	f.t.Helper()
	a, got, err := f.once(i).Wait(in(f.t), key, owner, longLease)
	if err != nil || a != attempt || string(got) != answer {
		f.t.Fatalf("Wait by %s = attempt %d, %q, %v; want attempt %d, %q", owner, a, got, err, attempt, answer)
	}
}

func (f *onceFixture) hold(i int, key, owner string, lease time.Duration, want holdResult) {
	f.t.Helper()
	held, kept, err := f.once(i).Hold(in(f.t), key, owner, lease)
	if got := (holdResult{held, kept}); err != nil || got != want {
		f.t.Fatalf("Hold by %s = %+v, %v; want %+v", owner, got, err, want)
	}
}

func (f *onceFixture) keep(i int, key, message string, finished bool, answer string) {
	f.t.Helper()
	done, got, err := f.once(i).Keep(in(f.t), key, []byte(message))
	if err != nil || done != finished || string(got) != answer {
		f.t.Fatalf("Keep = finished %t, %q, %v; want finished %t, %q", done, got, err, finished, answer)
	}
}

func (f *onceFixture) finish(i int, key, owner, answer string, want holdResult) {
	f.t.Helper()
	held, kept, err := f.once(i).Finish(in(f.t), key, owner, []byte(answer), time.Hour)
	if got := (holdResult{held, kept}); err != nil || got != want {
		f.t.Fatalf("Finish by %s = %+v, %v; want %+v", owner, got, err, want)
	}
}

func (f *onceFixture) take(i int, account, owner string, want takeResult) {
	f.t.Helper()
	key, message, attempt, err := f.once(i).Take(in(f.t), account, owner, longLease)
	if got := (takeResult{key, string(message), attempt}); err != nil || got != want {
		f.t.Fatalf("Take by %s = %+v, %v; want %+v", owner, got, err, want)
	}
}

func checkOnceOneWinner(t *testing.T, f *onceFixture) {
	const racers = 40
	for round := range 5 {
		key := fmt.Sprint(onceKey, round)
		var mu sync.Mutex
		winners, deliveries := 0, make(map[int]bool)
		var all sync.WaitGroup
		for i := range racers {
			all.Go(func() {
				attempt, delivery, _, err := f.once(i).Claim(in(t), onceAccount, key, fmt.Sprint("owner-", i), longLease, time.Hour)
				if err != nil || attempt > 1 {
					t.Errorf("Claim = attempt %d, %v", attempt, err)
				}
				mu.Lock()
				defer mu.Unlock()
				winners += attempt
				deliveries[delivery] = true
			})
		}
		all.Wait()
		if winners != 1 || len(deliveries) != racers || !deliveries[1] || !deliveries[racers] {
			t.Fatalf("%d of %d racers hold the message; deliveries %v", winners, racers, deliveries)
		}
	}
}

func checkOnceOwnClaimAgain(_ *testing.T, f *onceFixture) {
	f.claim(0, onceKey, "first", longLease, claimResult{1, 1})
	f.claim(1, onceKey, "first", longLease, claimResult{1, 1})
	f.claim(2, onceKey, "second", longLease, claimResult{0, 2})
	f.claim(3, onceKey, "first", longLease, claimResult{1, 2})
}

func checkOnceFinish(_ *testing.T, f *onceFixture) {
	for i, answer := range []string{"answer", ""} {
		key := fmt.Sprint(onceKey, i)
		f.claim(0, key, "first", longLease, claimResult{1, 1})
		f.claim(1, key, "second", longLease, claimResult{0, 2})
		f.finish(0, key, "second", "stolen", holdResult{false, false})
		f.finish(0, key, "first", answer, holdResult{true, false})
		for j := range f.handles {
			f.wait(j, key, "second", 0, answer)
		}
		f.finish(1, key, "first", "another", holdResult{true, false})
		f.finish(1, key, "second", "another", holdResult{false, false})
		f.claim(2, key, "third", longLease, claimResult{0, 3})
		f.claim(2, key, "first", longLease, claimResult{0, 4})
		f.wait(2, key, "third", 0, answer)
		f.hold(0, key, "first", longLease, holdResult{false, false})
		f.keep(1, key, "message", true, answer)
		f.take(1, onceAccount, "fourth", takeResult{"", "", 0})
	}
}

func checkOnceWaiters(t *testing.T, f *onceFixture) {
	f.claim(0, onceKey, "first", longLease, claimResult{1, 1})
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			attempt, answer, err := f.once(i).Wait(in(t), onceKey, fmt.Sprint("waiter-", i), longLease)
			if err != nil || attempt != 0 || string(answer) != "answer" {
				t.Errorf("Wait = attempt %d, %q, %v; want the answer", attempt, answer, err)
			}
		})
	}
	wait(t, 50*time.Millisecond)
	f.finish(0, onceKey, "first", "answer", holdResult{true, false})
	all.Wait()
}

func checkOnceLeaseEnds(t *testing.T, f *onceFixture) {
	f.claim(0, onceKey, "first", shortLease, claimResult{1, 1})
	wait(t, shortLease)
	f.claim(1, onceKey, "second", longLease, claimResult{2, 2})
	f.claim(2, onceKey, "third", longLease, claimResult{0, 3})
	f.claim(0, onceKey, "first", longLease, claimResult{0, 4})
}

func checkOnceWaitTakesOver(t *testing.T, f *onceFixture) {
	f.claim(0, onceKey, "first", shortLease, claimResult{1, 1})
	var mu sync.Mutex
	var heir string
	attempts := 0
	ctx, cancel := context.WithTimeout(t.Context(), callTime)
	defer cancel()
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			owner := fmt.Sprint("waiter-", i)
			attempt, _, err := f.once(i).Wait(ctx, onceKey, owner, longLease)
			mu.Lock()
			defer mu.Unlock()
			if attempt > 0 {
				heir = owner
				attempts++
				time.AfterFunc(time.Second, cancel) // time for a second heir
			}
			if (err == nil) != (attempt == 2) {
				t.Errorf("Wait = attempt %d, %v", attempt, err)
			}
		})
	}
	all.Wait()
	if attempts != 1 {
		t.Fatalf("%d waiters took the message over, want 1", attempts)
	}
	f.finish(1, onceKey, "first", "late", holdResult{false, false})
	f.finish(2, onceKey, heir, "answer", holdResult{true, false})
	f.wait(3, onceKey, "anybody", 0, "answer")
}

func checkOnceLateHolder(t *testing.T, f *onceFixture) {
	f.claim(0, onceKey, "first", shortLease, claimResult{1, 1})
	wait(t, shortLease)
	f.finish(0, onceKey, "first", "late", holdResult{true, false})
	f.wait(1, onceKey, "second", 0, "late")
}

func checkOnceHold(t *testing.T, f *onceFixture) {
	f.claim(0, onceKey, "first", shortLease, claimResult{1, 1})
	wait(t, shortLease)
	f.hold(0, onceKey, "first", longLease, holdResult{true, false}) // late, and nobody was there
	f.claim(1, onceKey, "second", longLease, claimResult{0, 2})
	f.hold(1, onceKey, "second", longLease, holdResult{false, false})
	f.hold(0, onceKey, "first", shortLease, holdResult{true, false})
	wait(t, shortLease)
	f.claim(1, onceKey, "second", longLease, claimResult{2, 3})
	f.hold(0, onceKey, "first", longLease, holdResult{false, false})
}

func checkOnceRelease(_ *testing.T, f *onceFixture) {
	f.claim(0, onceKey, "first", longLease, claimResult{1, 1})
	f.hold(0, onceKey, "first", 0, holdResult{true, false})
	f.wait(1, onceKey, "second", 2, "")
	f.hold(1, onceKey, "second", 0, holdResult{true, false})
	f.claim(2, onceKey, "third", longLease, claimResult{3, 2})
}

func checkOnceKeep(_ *testing.T, f *onceFixture) {
	f.claim(0, onceKey, "first", longLease, claimResult{1, 1})
	f.keep(1, onceKey, "message", false, "")
	f.keep(2, onceKey, "message", false, "")
	f.take(1, onceAccount, "second", takeResult{"", "", 0}) // it is in work
	f.hold(0, onceKey, "first", longLease, holdResult{true, true})
	f.finish(0, onceKey, "first", "answer", holdResult{true, true}) // which nobody waits for
	f.hold(0, onceKey, "first", longLease, holdResult{true, true})
	f.finish(1, onceKey, "second", "", holdResult{false, true})
	f.finish(0, onceKey, "first", "", holdResult{true, true})
	f.finish(0, onceKey, "first", "", holdResult{true, true})
	f.wait(3, onceKey, "third", 0, "")
	f.hold(0, onceKey, "first", 0, holdResult{false, true})
	f.take(1, onceAccount, "second", takeResult{"", "", 0})
}

func checkOnceKeepNothing(_ *testing.T, f *onceFixture) {
	f.claim(0, onceKey, "first", longLease, claimResult{1, 1})
	f.keep(1, onceKey, "", false, "")
	f.hold(0, onceKey, "first", 0, holdResult{true, true})
	f.take(2, onceAccount, "second", takeResult{"", "", 0})
	f.finish(0, onceKey, "first", "answer", holdResult{true, true})
	f.finish(0, onceKey, "first", "", holdResult{true, true})
}

func checkOnceTake(t *testing.T, f *onceFixture) {
	f.take(0, onceAccount, "nobody", takeResult{"", "", 0})
	for i := range 3 {
		key := fmt.Sprint(onceKey, i)
		f.claim(i, key, "first", longLease, claimResult{1, 1})
	}
	for i := range 3 { // in the other order
		f.keep(i, fmt.Sprint(onceKey, 2-i), fmt.Sprint("message ", 2-i), false, "")
		wait(t, time.Millisecond) // two may not be kept in the same microsecond
	}
	for i := range 3 {
		f.hold(i, fmt.Sprint(onceKey, i), "first", 0, holdResult{true, true})
	}
	f.take(0, "another account", "second", takeResult{"", "", 0})
	f.take(1, onceAccount, "second", takeResult{onceKey + "2", "message 2", 2})
	f.take(2, onceAccount, "third", takeResult{onceKey + "1", "message 1", 2})
	f.finish(2, onceKey+"1", "first", "", holdResult{false, true})
	f.finish(2, onceKey+"1", "third", "", holdResult{true, true})
	f.wait(3, onceKey+"0", "fourth", 2, "") // WeChat's third delivery is quicker than the inbox
	f.take(1, onceAccount, "fifth", takeResult{"", "", 0})
	f.hold(1, onceKey+"2", "second", shortLease, holdResult{true, true})
	wait(t, shortLease)
	f.take(1, onceAccount, "fifth", takeResult{onceKey + "2", "message 2", 3})
	f.take(1, onceAccount, "sixth", takeResult{"", "", 0})
}

// checkOnceTakeOfNoAccount: an account named "" is one like others, and not all of them.
func checkOnceTakeOfNoAccount(t *testing.T, f *onceFixture) {
	for i, account := range []string{"", onceAccount} {
		key := fmt.Sprint(onceKey, i)
		if attempt, _, _, err := f.once(i).Claim(in(t), account, key, "first", longLease, time.Hour); err != nil || attempt != 1 {
			t.Fatalf("Claim for the account %q = %d, %v", account, attempt, err)
		}
		f.keep(i+1, key, fmt.Sprintf("message of %q", account), false, "")
		f.hold(i+2, key, "first", 0, holdResult{true, true})
	}
	f.take(0, "", "second", takeResult{onceKey + "0", `message of ""`, 2})
	f.take(1, "", "third", takeResult{"", "", 0})
	f.take(2, onceAccount, "third", takeResult{onceKey + "1", fmt.Sprintf("message of %q", onceAccount), 2})
	f.take(3, onceAccount, "fourth", takeResult{"", "", 0})
}

func checkOnceTakeOnce(t *testing.T, f *onceFixture) {
	const messages = 20
	for i := range messages {
		key := fmt.Sprint(onceKey, i)
		f.claim(0, key, "first", longLease, claimResult{1, 1})
		f.keep(0, key, "message", false, "")
		f.hold(0, key, "first", 0, holdResult{true, true})
	}
	var mu sync.Mutex
	taken := make(map[string]int)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for misses := 0; misses < 3; { // one may lose a race and find nothing
				key, _, _, err := f.once(i).Take(in(t), onceAccount, fmt.Sprint("taker-", i), longLease)
				if err != nil {
					t.Errorf("Take: %v", err)
					return
				}
				if key == "" {
					misses++
					continue
				}
				mu.Lock()
				taken[key]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for key, n := range taken {
		if n != 1 {
			t.Errorf("%s was taken %d times", key, n)
		}
	}
	if len(taken) != messages {
		t.Errorf("%d messages were taken, want %d", len(taken), messages)
	}
}

func checkOnceForgets(t *testing.T, f *onceFixture) {
	var name func(key string) string
	var keep time.Duration
	claim := func(key, owner string, lease time.Duration) (attempt, delivery int) {
		attempt, delivery, _, err := f.once(0).Claim(in(t), onceAccount, name(key), owner, lease, keep)
		must(t, "Claim", err)
		return attempt, delivery
	}
	var finished bool
	var answer []byte
	var errFinish, errKeep error // a slow machine gets them too
	patience.Within(t, "claiming, finishing and keeping", 150*time.Millisecond, func(short time.Duration) {
		keep, name = short, func(key string) string { return fmt.Sprint(key, " for ", short) }
		for _, key := range []string{"finished", "claimed", "leased", "kept"} {
			lease := shortLease
			if key == "leased" {
				lease = longLease
			}
			claim(key, "first", lease)
		}
		_, _, errFinish = f.once(0).Finish(in(t), name("finished"), "first", []byte("answer"), keep)
		finished, answer, errKeep = f.once(0).Keep(in(t), name("kept"), []byte("message"))
	})
	must(t, "Finish", errFinish)
	must(t, "Keep", errKeep)
	if finished || len(answer) > 0 {
		t.Fatalf("Keep = finished %t, %q; want neither", finished, answer)
	}
	wait(t, keep)
	for key, want := range map[string][2]int{"finished": {1, 1}, "claimed": {1, 1}, "leased": {0, 2}, "kept": {2, 2}} {
		if attempt, delivery := claim(key, "second", longLease); [2]int{attempt, delivery} != want {
			t.Errorf("Claim of %s after its time: attempt %d, delivery %d; want %v", key, attempt, delivery, want)
		}
	}
	f.hold(0, name("finished"), "second", longLease, holdResult{true, false})
	f.finish(1, name("finished"), "second", "new", holdResult{true, false})
	f.wait(1, name("finished"), "third", 0, "new")
}

func checkOnceAge(t *testing.T, f *onceFixture) {
	const pass = 200 * time.Millisecond
	f.claim(0, onceKey, "first", longLease, claimResult{1, 1})
	wait(t, pass)
	for i := range f.handles {
		_, _, age, err := f.once(i).Claim(in(t), onceAccount, onceKey, fmt.Sprint("later-", i), longLease, time.Hour)
		must(t, "Claim", err)
		if age < pass-10*time.Millisecond || age > callTime {
			t.Errorf("the age is %s after %s", age, pass)
		}
	}
}

func checkOnceKeysApart(_ *testing.T, f *onceFixture) {
	for i, key := range []string{onceKey, onceKey[:42], strings.ToUpper(onceKey), onceKey + "%", onceKey + " ", "signature '" + onceKey[:40]} {
		f.claim(i, key, "owner", longLease, claimResult{1, 1})
		f.finish(i+1, key, "owner", key, holdResult{true, false})
		f.wait(i+2, key, "other", 0, key)
	}
}

func checkOnceSizes(_ *testing.T, f *onceFixture) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	const limit = 512<<10 + 64 // callback.MaxBody, sealed
	large := string(bytes.Repeat(every, limit/256))
	key := strings.Repeat("k", 64)
	owner := strings.Repeat("o", 64)
	f.claim(0, key, owner, longLease, claimResult{1, 1})
	f.keep(0, key, large, false, "")
	f.hold(0, key, owner, 0, holdResult{true, true})
	f.take(1, onceAccount, owner+"", takeResult{key, large, 2})
	f.claim(0, onceKey, owner, longLease, claimResult{1, 1})
	f.finish(0, onceKey, owner, large, holdResult{true, false})
	f.wait(1, onceKey, "other", 0, large)
}

func checkOnceCallersBytes(t *testing.T, f *onceFixture) {
	given := []byte("message")
	f.claim(0, onceKey, "first", longLease, claimResult{1, 1})
	_, _, err := f.once(0).Keep(in(t), onceKey, given)
	must(t, "Keep", err)
	copy(given, "CHANGED")
	f.hold(0, onceKey, "first", 0, holdResult{true, true})
	_, taken, _, err := f.once(0).Take(in(t), onceAccount, "second", 0)
	must(t, "Take", err)
	if string(taken) != "message" {
		t.Errorf("the store holds the caller's bytes: %q", taken)
	}
	copy(taken, "CHANGED")
	f.take(0, onceAccount, "third", takeResult{onceKey, "message", 3})

	answer := []byte("answer")
	f.claim(0, "another", "first", longLease, claimResult{1, 1})
	_, _, err = f.once(0).Finish(in(t), "another", "first", answer, time.Hour)
	must(t, "Finish", err)
	copy(answer, "CHANGE")
	_, got, err := f.once(0).Wait(in(t), "another", "second", longLease)
	must(t, "Wait", err)
	copy(got, "CHANGE")
	f.wait(0, "another", "third", 0, "answer")
}

func checkOnceUnknown(t *testing.T, f *onceFixture) {
	once := f.once(0)
	if _, _, err := once.Wait(in(t), onceKey, "owner", longLease); err == nil {
		t.Error("Wait for what was not claimed: no error")
	}
	if _, _, err := once.Hold(in(t), onceKey, "owner", longLease); err == nil {
		t.Error("Hold of what was not claimed: no error")
	}
	if _, _, err := once.Keep(in(t), onceKey, []byte("message")); err == nil {
		t.Error("Keep of what was not claimed: no error")
	}
	if _, _, err := once.Finish(in(t), onceKey, "owner", nil, time.Hour); err == nil {
		t.Error("Finish of what was not claimed: no error")
	}
	f.take(0, onceAccount, "owner", takeResult{"", "", 0})
	f.claim(0, onceKey, "owner", longLease, claimResult{1, 1})
}

func checkOnceEndedContext(t *testing.T, f *onceFixture) {
	f.claim(0, onceKey, "first", longLease, claimResult{1, 1})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, _, err := f.once(0).Claim(ended, onceAccount, "another", "owner", longLease, time.Hour); err == nil {
		t.Error("Claim with an ended context: no error")
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, _, err := f.once(0).Wait(short, onceKey, "second", longLease); err == nil || time.Since(begun) > callTime/2 {
		t.Errorf("Wait with a context of 50 ms: %v after %s", err, time.Since(begun))
	}
	f.finish(0, onceKey, "first", "answer", holdResult{true, false})
}

func checkOnceClose(t *testing.T, f *onceFixture) {
	store := f.once(0)
	f.claim(0, onceKey, "first", longLease, claimResult{1, 1})
	failed := make(chan error, 1)
	go func() {
		_, _, err := store.Wait(in(t), onceKey, "second", longLease)
		failed <- err
	}()
	wait(t, 20*time.Millisecond)
	if err := store.(interface{ Close() error }).Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	select {
	case err := <-failed:
		if err == nil {
			t.Error("Wait on a closed store: no error")
		}
	case <-time.After(callTime):
		t.Error("Wait continues after Close")
	}
	if _, _, _, err := store.Claim(in(t), onceAccount, "another", "owner", longLease, time.Hour); err == nil {
		t.Error("Claim on a closed store: no error")
	}
}
