package shape_test

import (
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/shape"
)

// TestName: what is for people may be in any language, and is one line that is no secret.
func TestName(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"", "主店公众号", "结算系统 (测试)", "Shop & Sons", "<b>", `"quoted"`, "wx0123456789abcdef", "👨‍👩‍👧 亲子", strings.Repeat("店", shape.MaxName),
	} {
		if err := shape.Name("name", good); err != nil || shape.Shown(good) != good {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		strings.Repeat("店", shape.MaxName+1), " 主店", "主店 ", "\u3000", "主\n店", "主\x00店", "主\x1b[31m店", "主\u2028店", "\u202E店主", "\uFEFF店",
		"\xff\xfe", "店\xe5\xba", "�", secret, "zkkey_made-up",
	} {
		err := shape.Name("the name", bad)
		if err == nil || !strings.HasPrefix(err.Error(), "the name ") || shape.Shown(bad) != "" {
			t.Errorf("%q: %v", bad, err)
		}
		if err != nil && len(bad) > 8 && strings.Contains(err.Error(), bad) {
			t.Errorf("the error quotes %q", bad)
		}
	}
}
