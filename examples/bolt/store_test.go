package bolt_test

import (
	"path/filepath"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/examples/bolt"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) custody.Store {
		t.Helper()
		s, err := bolt.Open(filepath.Join(t.TempDir(), "zhongkong.bolt"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
