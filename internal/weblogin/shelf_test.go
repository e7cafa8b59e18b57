package weblogin_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestShelf: what is put there is there for its life, and each reading is counted.
func TestShelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		defer func() { _ = store.Close() }()
		seals, err := weblogin.NewSeals("test", custody.NewSecret("a secret"))
		if err != nil {
			t.Fatal(err)
		}
		shelf := weblogin.Shelf{Store: store, Account: "test", Seals: seals}
		if err := shelf.Put(t.Context(), "thing", "share", []int{1, 2}, 3*24*time.Hour); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			var got []int
			if times, err := shelf.Get(t.Context(), "thing", &got); err != nil || times != i+1 || len(got) != 2 {
				t.Errorf("reading %d: %d, %v, %v", i+1, times, got, err)
			}
		}
		var got []int
		for range 2 {
			if _, err := shelf.Get(t.Context(), "nothing", &got); !errors.Is(err, weblogin.ErrGone) {
				t.Errorf("nothing: %v", err)
			}
		}
		foreign := shelf
		if foreign.Seals, err = weblogin.NewSeals("test", custody.NewSecret("another")); err != nil {
			t.Fatal(err)
		}
		if _, err := foreign.Get(t.Context(), "thing", &got); !errors.Is(err, weblogin.ErrGone) {
			t.Errorf("with another key: %v", err)
		}
		time.Sleep(3*24*time.Hour + time.Second)
		if _, err := shelf.Get(t.Context(), "thing", &got); !errors.Is(err, weblogin.ErrGone) {
			t.Errorf("after its life: %v", err)
		}
	})
}

// TestBudget: one name's things use up nobody else's room, and are forgotten in time.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := weblogin.Budget{Life: time.Minute, Most: 10, Each: 4}
		take := func(name string, n int) (taken int) {
			for range n {
				if b.Take(name) {
					taken++
				}
			}
			return taken
		}
		if a, c := take("a", 9), take("c", 3); a != 4 || c != 3 {
			t.Errorf("%d and %d", a, c)
		}
		time.Sleep(time.Minute)
		if a, c, d := take("a", 9), take("c", 9), take("d", 9); a != 0 || c != 1 || d != 2 {
			t.Errorf("a minute later: %d, %d and %d", a, c, d)
		}
		time.Sleep(time.Minute)
		if a := take("a", 9); a != 4 {
			t.Errorf("two minutes later: %d", a)
		}
		time.Sleep(time.Hour)
		if d := take("d", 9); d != 4 {
			t.Errorf("an hour later: %d", d)
		}
	})
}
