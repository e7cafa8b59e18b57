package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestSpoolShares: one client's bodies on the disk have a share of the room. What does not
// fit streams and is sent once, or is refused where it has no length, and nothing of it
// stays; others have room.
func TestSpoolShares(t *testing.T) {
	y := &relay{limits: Limits{BodyInMemory: 10, BodyOnDisk: 100, Body: 10_000}, spools: spools{most: 400, of: map[string]int64{}}}
	text := strings.Repeat("x", 100)
	keep := func(client string, length int64) (*http.Request, func(), *refusal) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(text))
		r.ContentLength = length
		done, refused := y.keepBody(&observed{ResponseWriter: httptest.NewRecorder(), client: client}, r)
		return r, done, refused
	}
	read := func(body io.Reader) string {
		t.Helper()
		content, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	first, done, refused := keep("shop", -1)
	if refused != nil || first.ContentLength != 100 || read(first.Body) != text {
		t.Fatal(refused)
	}
	if _, _, refused := keep("shop", -1); refused == nil || refused.status != http.StatusServiceUnavailable || !strings.Contains(refused.why, "share") {
		t.Errorf("a second one without a length: %v", refused)
	}
	streamed, doneStreamed, refused := keep("shop", 100)
	if refused != nil || read(streamed.Body) != text {
		t.Errorf("a second one with a length: %v", refused)
	}
	if _, err := streamed.GetBody(); err == nil {
		t.Errorf("it can be sent twice: %v", err)
	}
	for _, other := range []string{"crm", "erp", ""} {
		if _, done, refused := keep(other, -1); refused != nil {
			t.Errorf("%q has no room: %v", other, refused)
		} else {
			defer done()
		}
	}
	if _, _, refused := keep("late", -1); refused == nil || refused.status != http.StatusServiceUnavailable {
		t.Errorf("beyond all the room: %v", refused)
	}
	doneStreamed()
	done()
	done()
	again, done, refused := keep("shop", -1)
	if refused != nil || read(again.Body) != text {
		t.Errorf("when there is room again: %v", refused)
	}
	done()
	if y.spools.of["shop"] != 0 || y.spools.all != 300 {
		t.Errorf("what is left: %v of %d", y.spools.of, y.spools.all)
	}
}

// TestSpoolPieces: of two bodies that arrive side by side one is kept, although there is
// no room for both: the one that is refused leaves its room to the other.
func TestSpoolPieces(t *testing.T) {
	y := &relay{limits: Limits{BodyInMemory: 10, BodyOnDisk: 100, Body: 10_000}, spools: spools{most: 400, of: map[string]int64{}}}
	type end struct {
		done    func()
		refused *refusal
	}
	var writers [2]*io.PipeWriter
	ends := [2]chan end{make(chan end, 1), make(chan end, 1)}
	for i, begun := range []int{60, 30} { // then 40 more of each
		in, out := io.Pipe()
		writers[i] = out
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", in)
		r.ContentLength = -1
		go func() {
			done, refused := y.keepBody(&observed{ResponseWriter: httptest.NewRecorder(), client: "shop"}, r)
			_ = in.Close()
			ends[i] <- end{done, refused}
		}()
		_, _ = io.WriteString(out, strings.Repeat("x", begun)) // the second one may be refused before all of it came
	}
	for i := range writers {
		_, _ = io.WriteString(writers[i], strings.Repeat("x", 40))
		_ = writers[i].Close()
	}
	kept, other := <-ends[0], <-ends[1]
	if kept.refused != nil {
		kept, other = other, kept
	}
	if kept.refused != nil || other.refused == nil || other.refused.status != http.StatusServiceUnavailable {
		t.Errorf("of two bodies side by side: %v, %v", kept.refused, other.refused)
	}
	kept.done()
	if y.spools.all != 0 {
		t.Errorf("%d bytes of room are not given back", y.spools.all)
	}
}

// TestSpoolSmall: a body without a length takes of its client's share what it has, and not what
// the longest one may have.
func TestSpoolSmall(t *testing.T) {
	y := &relay{limits: Limits{BodyInMemory: 10, BodyOnDisk: 100, Body: 10_000}, spools: spools{most: 400, of: map[string]int64{}}}
	for i := range 4 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 20+i)))
		r.ContentLength = -1
		done, refused := y.keepBody(&observed{ResponseWriter: httptest.NewRecorder(), client: "shop"}, r)
		if refused != nil {
			t.Fatalf("number %d: %v", i, refused)
		}
		defer done()
	}
	if y.spools.of["shop"] != 20+21+22+23 {
		t.Errorf("%d bytes are taken", y.spools.of["shop"])
	}
}
