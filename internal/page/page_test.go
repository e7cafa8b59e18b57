package page_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"github.com/zhongkong-go/zhongkong/internal/page"
)

func TestStatic(t *testing.T) {
	h := page.Guard(page.Static(fstest.MapFS{"own.css": {Data: []byte("a{}")}}))
	get := func(name, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/x/"+name, http.NoBody)
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for name, kind := range map[string]string{"base.css": "text/css", "page.js": "javascript", "own.css": "text/css"} {
		w := get(name, "")
		if w.Code != 200 || !strings.Contains(w.Header().Get("Content-Type"), kind) || w.Body.Len() == 0 ||
			!strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'none'; script-src 'self';") {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		if again := get(name, w.Header().Get("ETag")); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s again: %d", name, again.Code)
		}
	}
	if w := get("page.go", ""); w.Code != http.StatusNotFound {
		t.Error("a file that is not there:", w.Code)
	}
}

// TestBell: everybody who took the channel before wakes, and nobody else.
func TestBell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bell page.Bell
		bell.Ring() // nobody waits
		woken := 0
		first, second := bell.Next(), bell.Next()
		bell.Ring()
		for _, waiting := range []<-chan struct{}{first, second, bell.Next()} {
			select {
			case <-waiting:
				woken++
			default:
			}
		}
		if woken != 2 {
			t.Errorf("%d woke, want 2", woken)
		}
	})
}

// TestStream: an event is one line of data whatever is in it.
func TestStream(t *testing.T) {
	w := httptest.NewRecorder()
	s := page.NewStream(w)
	if err := s.Send("pieces", "a-1", []page.Piece{{ID: "x", HTML: "<p>\r\n\nevent: reload</p>"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Send("", "", nil); err != nil {
		t.Fatal(err)
	}
	want := "event: pieces\nid: a-1\ndata: [{\"id\":\"x\",\"html\":\"\\u003cp\\u003e\\r\\n\\nevent: reload\\u003c/p\\u003e\"}]\n\n:\n\n"
	if got := w.Body.String(); got != want || !w.Flushed {
		t.Errorf("sent %q, want %q", got, want)
	}
}
