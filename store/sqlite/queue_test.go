//go:build cgo

package sqlite

import (
	"testing"

	"github.com/zhongkong-go/zhongkong"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

func TestQueue(t *testing.T) {
	t.Parallel()
	storetest.RunQueue(t, storetest.Options{Open: func(t *testing.T) func(t *testing.T) zhongkong.Store {
		t.Helper()
		path := newPath(t)
		return func(t *testing.T) zhongkong.Store {
			t.Helper()
			return open(t, path, nil)
		}
	}})
}
