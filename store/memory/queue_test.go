package memory

import (
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

func TestQueue(t *testing.T) {
	t.Parallel()
	storetest.RunQueue(t, storetest.Options{
		Open: func(*testing.T) func(*testing.T) custody.Store {
			return func(*testing.T) custody.Store { return New() }
		},
		Handles: 1,
	})
}
