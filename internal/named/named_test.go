package named_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/named"
)

// TestPlain: programs read the package's name, people do not, and the cause is found.
func TestPlain(t *testing.T) {
	inner := named.Errorf("store", "it is %s: %w", "full", io.ErrShortWrite)
	for _, row := range []struct {
		err         error
		text, plain string
	}{
		{inner, "store: it is full: short write", "it is full: short write"},
		{named.Errorf("wechat", "%w", inner), "wechat: store: it is full: short write", "it is full: short write"},
		{fmt.Errorf("line 3: %w", inner), "line 3: store: it is full: short write", "line 3: store: it is full: short write"},
		{io.EOF, "EOF", "EOF"},
	} {
		if row.err.Error() != row.text || named.Plain(row.err).Error() != row.plain {
			t.Errorf("%q, %q; want %q, %q", row.err, named.Plain(row.err), row.text, row.plain)
		}
	}
	if !errors.Is(named.Errorf("wechat", "%w", inner), io.ErrShortWrite) || named.Plain(nil) != nil {
		t.Error("the cause is lost")
	}
}
