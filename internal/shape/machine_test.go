package shape_test

import (
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/shape"
)

func TestPort(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"0", "80", "3100", "65535"} {
		if err := shape.Port("PORT", good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "abc", ":3100", "127.0.0.1:3100", "65536", "-1", "080", "3100 ", secret} {
		err := shape.Port("PORT", bad)
		if err == nil || !strings.HasPrefix(err.Error(), "PORT is ") || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"", "~", "a~b", "x/~/y", "/home/a~"} {
		if err := shape.Path("it", good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"~/zhongkong.db", `~\zhongkong.db`} {
		if err := shape.Path("the path", bad); err == nil || !strings.Contains(err.Error(), "the path begins with ~") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestProxy: ALL_PROXY means nothing to a Go program.
func TestProxy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  map[string]string
		says string
	}{
		{nil, ""},
		{map[string]string{"ALL_PROXY": "socks5://127.0.0.1:1080"}, "ALL_PROXY is set and HTTPS_PROXY is not"},
		{map[string]string{"all_proxy": "http://u:made-up@127.0.0.1:1080"}, "all_proxy is set"},
		{map[string]string{"ALL_PROXY": "x", "https_proxy": "y"}, ""},
		{map[string]string{"ALL_PROXY": "x", "HTTPS_PROXY": "y"}, ""},
	} {
		got := shape.Proxy(func(name string) string { return c.env[name] })
		if (got == "") != (c.says == "") || !strings.Contains(got, c.says) || strings.Contains(got, "made-up") {
			t.Errorf("%v: %q, want %q", c.env, got, c.says)
		}
	}
}
