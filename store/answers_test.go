package store_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/store"
)

// TestAnswerBudget: the bytes stay within bounds, the oldest go first, and one follower
// pushes out nobody else's.
func TestAnswerBudget(t *testing.T) {
	b := store.AnswerBudget{Total: 16 * 100}
	var dropped []string
	add := func(follower string, n, size int) *store.KeptAnswer {
		return b.Add(follower, size, func() { dropped = append(dropped, follower+strconv.Itoa(n)) })
	}
	kept := add("quiet", 0, 50)
	for n := range 1000 {
		add("loud", n, 30)
	}
	if len(dropped) != 997 || dropped[0] != "loud0" || dropped[996] != "loud996" {
		t.Errorf("dropped %d, %s to %s", len(dropped), dropped[0], dropped[len(dropped)-1])
	}
	dropped = nil
	for n := range 100 {
		add(fmt.Sprint("f", n), n, 100)
	}
	if len(dropped) != 4+100-16 || dropped[0] != "quiet0" {
		t.Errorf("dropped %d, first %s", len(dropped), dropped[0])
	}
	b.Forget(kept) // is gone
	b.Forget(nil)
	add("huge", 0, 5000)
	if dropped[len(dropped)-1] != "huge0" {
		t.Errorf("a huge one: %s was dropped", dropped[len(dropped)-1])
	}
	if owner := callback.NewOwner("follower"); store.ShareOf(owner) == "" ||
		store.ShareOf(owner) != store.ShareOf(callback.NewOwner("follower")) ||
		store.ShareOf("plain") != "" {
		t.Errorf("the share of %s is %q", owner, store.ShareOf(owner))
	}
}
