package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
)

// broken writes text as it stands, and cuts the connection.
func broken(out http.ResponseWriter, text string) {
	conn, _, err := out.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, text)
	_ = conn.Close()
}

// accessLine returns the line of the access log about the last call of a path.
func (w *world) accessLine(path string) (found string) {
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, "msg=request") && strings.Contains(line, "path="+path) {
			found = line
		}
	}
	return found
}

// TestBrokenAnswer: WeChat's answer breaks off, or does not come. A GET is answered -1,
// so that the program tries again. To anything else the gateway says that WeChat may
// have carried it out, in no shape that a program takes for a success or for an errcode.
func TestBrokenAnswer(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json; encoding=utf-8\r\n"
	for name, text := range map[string]string{
		"in the middle":        head + "Content-Length: 100\r\n\r\n" + `{"errcode":0,"msg`,
		"before the body":      head + "Content-Length: 100\r\n\r\n",
		"in chunks":            head + "Transfer-Encoding: chunked\r\n\r\n11\r\n" + `{"errcode":0,"msg` + "\r\n",
		"no answer":            "",
		"in the answer's head": "HTTP/1.1 200",
	} {
		t.Run(name, func(t *testing.T) {
			w, _, token := upstream(t, func(out http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				broken(out, text)
			})
			if got := w.get("/cgi-bin/menu/get?access_token=" + token); got.status != http.StatusOK || got.Errcode != -1 {
				t.Errorf("GET: %d %s", got.status, got.body)
			}
			for _, path := range []string{"/cgi-bin/message/mass/sendall", "/cgi-bin/openapi/rid/get"} {
				got := w.post(path+"?access_token="+token, `{"x":1}`)
				if got.status != http.StatusBadGateway || !strings.HasPrefix(got.body, "WeChat may have carried out the call") ||
					!strings.Contains(got.body, "(zhongkong) rid: ") {
					t.Errorf("POST %s: %d %s", path, got.status, got.body)
				}
				if line := w.accessLine(path); !strings.Contains(line, "status=502 errcode=-1") {
					t.Errorf("the access log says: %s", line)
				}
			}
			if text != "" && text != "HTTP/1.1 200" && !strings.Contains(w.log.String(), "WeChat's answer broke off after") {
				t.Error("the log does not say what happened")
			}
			w.mustNotShow("91_real-token", token)
		})
	}
}

// TestNotCarriedOut: a POST that cannot have left is answered -1.
func TestNotCarriedOut(t *testing.T) {
	w, _, token := upstream(t, func(out http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(out, `{"errcode":0}`) })
	patience.Until(t, "a token of WeChat's", func() bool { return w.get(domainIP+"?access_token="+token).Errcode == 0 })
	w.stopUpstream()
	got := w.post("/cgi-bin/message/mass/sendall?access_token="+token, `{"x":1}`)
	if got.status != http.StatusOK || got.Errcode != -1 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestBrokenDownload: a long answer that breaks off breaks off for the caller too, and
// both logs say so.
func TestBrokenDownload(t *testing.T) {
	const path = "/cgi-bin/media/get"
	w, _, token := upstream(t, func(out http.ResponseWriter, _ *http.Request) {
		broken(out, "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 2000000\r\n\r\n"+strings.Repeat("x", 1<<20))
	})
	if got, err := w.try(w.request(http.MethodGet, path+"?access_token="+token, nil)); err == nil {
		t.Errorf("an answer of %d bytes came as if it were whole", len(got.body))
	}
	patience.Until(t, "a line of the access log", func() bool { return strings.Contains(w.accessLine(path), "cut=true") })
	if !strings.Contains(w.log.String(), "WeChat's answer broke off, and so did the one to the caller") {
		t.Error("the log does not say what happened")
	}
	if n := w.Numbers(); n.Proxied.Count != 1 {
		t.Errorf("%d calls", n.Proxied.Count)
	}
}

// TestAccessErrcode: the access log has WeChat's errcode, wherever it stands in a short
// answer; what is long passes as it comes.
func TestAccessErrcode(t *testing.T) {
	long := `{"list":"` + strings.Repeat("x", 200<<10) + `","errcode":45009}`
	answers := map[string]struct {
		body    string
		errcode int
	}{
		"/cgi-bin/first":  {`{"errcode":45009,"errmsg":"reach max api daily quota limit"}`, 45009},
		"/cgi-bin/behind": {`{"msgid":7,"errcode":40003,"errmsg":"invalid openid"}`, 40003},
		"/cgi-bin/well":   {`{"user":{"errcode":7}}`, 0},
		"/cgi-bin/long":   {long, 0},
	}
	w, _, token := upstream(t, func(out http.ResponseWriter, r *http.Request) {
		out.Header().Set("Content-Type", "application/json; encoding=utf-8")
		_, _ = io.WriteString(out, answers[r.URL.Path].body)
	})
	for path, want := range answers {
		if got := w.get(path + "?access_token=" + token); got.body != want.body {
			t.Errorf("%s: %d bytes came, want %d", path, len(got.body), len(want.body))
		}
		patience.Until(t, "a line of the access log", func() bool {
			return strings.Contains(w.accessLine(path), fmt.Sprintf("errcode=%d ", want.errcode))
		})
	}
}

// TestStreamedAnswer: each flush of WeChat's reaches the caller, and a token that is cut
// into pieces does not.
func TestStreamedAnswer(t *testing.T) {
	next := make(chan struct{})
	w, _, token := upstream(t, func(out http.ResponseWriter, r *http.Request) {
		spoken := r.URL.Query().Get("access_token")
		out.Header().Set("Content-Type", "application/json; encoding=utf-8")
		for _, piece := range []string{`{"event":1}` + "\n", `{"told":"` + spoken[:7], spoken[7:] + `"}` + "\n", `{"event":2}` + "\n"} {
			_, _ = io.WriteString(out, piece)
			_ = http.NewResponseController(out).Flush()
			<-next
		}
	})
	resp, err := w.http.Do(w.request(http.MethodGet, domainIP+"?access_token="+token, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	in := bufio.NewReader(resp.Body)
	read := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != want {
			t.Fatalf("%q (%v), want %q", got, err, want)
		}
		next <- struct{}{}
	}
	read(`{"event":1}` + "\n")
	read(`{"told":"`)
	read(strings.Repeat("*", len("91_real-token")) + `"}` + "\n")
	read(`{"event":2}` + "\n")
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("%q (%v) behind the end", rest, err)
	}
}
