package sqlite

import (
	"strconv"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/store"
)

// TestQueueTrimsInPieces: a Trim of many deliveries leaves some for the next one.
func TestQueueTrimsInPieces(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), nil)
	const line, all = "wx0123456789abcdef/crm", 10_200
	for n := 0; n < all; n += store.MaxPush {
		deliveries := make([]store.Delivery, store.MaxPush)
		for i := range deliveries {
			id := strconv.Itoa(n + i)
			deliveries[i] = store.Delivery{Line: line, Lane: id, ID: id, Body: []byte("x")}
		}
		if err := s.Push(t.Context(), deliveries); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{10_000, 100, 0} {
		dropped, err := s.Trim(t.Context(), line, time.Hour, 100)
		if err != nil || dropped != want {
			t.Fatalf("Trim dropped %d, %v; want %d", dropped, err, want)
		}
	}
	lent, err := s.Lend(t.Context(), line, "owner", time.Minute, 1)
	if err != nil || len(lent) != 1 || lent[0].ID != strconv.Itoa(all-100) {
		t.Errorf("%+v, %v", lent, err)
	}
}
