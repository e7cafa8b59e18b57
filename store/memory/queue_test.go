package memory

import (
	"testing"

	"github.com/zhongkong-go/zhongkong"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

func TestQueue(t *testing.T) {
	t.Parallel()
	storetest.RunQueue(t, storetest.Options{
		Open: func(*testing.T) func(*testing.T) zhongkong.Store {
			return func(*testing.T) zhongkong.Store { return New() }
		},
		Handles: 1,
	})
}
