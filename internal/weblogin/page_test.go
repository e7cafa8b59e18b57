package weblogin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPageLanguage: the page begins in the reader's language, and has the other one behind a
// switch that needs no script and no request.
func TestPageLanguage(t *testing.T) {
	for header, want := range map[string]string{
		"":                        `<html lang="zh-CN">`,
		"zh-CN,zh;q=0.9,en;q=0.8": `<html lang="zh-CN">`,
		"en-GB,en;q=0.9":          `<html lang="en">`,
	} {
		r := httptest.NewRequest(http.MethodGet, "/me?code=secret", http.NoBody)
		if header != "" {
			r.Header.Set("Accept-Language", header)
		}
		w := httptest.NewRecorder()
		PageOld.Show(w, r, "/me")
		html := w.Body.String()
		first, second, switched := strings.Cut(html, "<details")
		if !strings.Contains(first, want) || !switched {
			t.Errorf("%q: no %s, or no switch: %s", header, want, html)
		}
		zh, en := strings.Contains(first, PageOld.ZH), strings.Contains(first, PageOld.EN)
		if zh == en || zh != strings.Contains(want, "zh") || strings.Contains(second, PageOld.ZH) == zh {
			t.Errorf("%q: the languages are in each other's place: %s", header, html)
		}
		if strings.Contains(html, "secret") || strings.Count(html, `href="/me"`) != 2 {
			t.Errorf("%q: %s", header, html)
		}
	}
}
