package gateway_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSmuggling: bytes that two programs could take for different requests. What
// reaches WeChat is framed by the gateway alone, carries the token of whoever proved
// himself, and is as many requests as were proven.
func TestSmuggling(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	w, key, token := upstream(t, func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, strings.Join([]string{r.Method, r.URL.Path, r.URL.RawQuery, string(body)}, " "))
		for _, name := range []string{"Transfer-Encoding", "Authorization", "X-Wechat-Appid", "Expect", "Upgrade", "Trailer", "Te"} {
			if value := r.Header.Get(name); value != "" || len(r.TransferEncoding) > 0 {
				t.Errorf("WeChat saw %s: %s, %v", name, value, r.TransferEncoding)
			}
		}
		if !strings.HasPrefix(r.Host, "127.0.0.1:") {
			t.Errorf("WeChat saw the host %s", r.Host)
		}
		_, _ = io.WriteString(out, `{"errcode":0,"errmsg":"ok"}`)
	})
	const api = "/cgi-bin/menu/create"
	proven := "Authorization: Bearer " + key + "\r\nX-WeChat-AppID: " + appID + "\r\n"
	post := "POST " + api + " HTTP/1.1\r\nHost: x\r\n" + proven
	hidden := "POST /cgi-bin/user/delete HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
	ours := "access_token=91_real-token"
	for _, row := range []struct {
		name, send string
		want       []string // the beginnings of the answers' status and body
		reach      []string // WeChat
	}{
		{
			"a length and chunks: chunks count, and what follows them is a request of nobody's",
			post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + hidden,
			[]string{`200 {"errcode":0`, `200 {"errcode":41001`},
			[]string{"POST " + api + " " + ours + " x"},
		},
		{"chunks of another kind", post + "Transfer-Encoding: xchunked\r\n\r\n" + hidden, []string{"501"}, nil},
		{"chunks twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, []string{"501"}, nil},
		{"chunks of a list", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + hidden, []string{"501"}, nil},
		{"two lengths", post + "Content-Length: 1\r\nContent-Length: 80\r\n\r\nx" + hidden, []string{"400"}, nil},
		{"a list of lengths", post + "Content-Length: 1, 80\r\n\r\nx" + hidden, []string{"400"}, nil},
		{"a length with a sign", post + "Content-Length: +1\r\n\r\nx" + hidden, []string{"400"}, nil},
		{"a space before the colon", post + "Content-Length : 80\r\n\r\n" + hidden, []string{"400"}, nil},
		{"a broken chunk", post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + hidden, []string{`408 {"errcode":44002`}, nil},
		{
			"a host of its own in the request line",
			"GET http://wechat.invalid" + "/cgi-bin/menu/get HTTP/1.1\r\nHost: wechat.invalid\r\n" + proven + "Connection: close\r\n\r\n",
			[]string{`200 {"errcode":0`},
			[]string{"GET /cgi-bin/menu/get " + ours + " "},
		},
		{"a key in a chunked request's trailer", "POST " + api + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization, X-WeChat-AppID\r\n\r\n0\r\n" + proven + "\r\n", []string{`200 {"errcode":41001`}, nil},
		{"one key twice", post + "Authorization: Bearer " + key + "\r\nContent-Length: 0\r\n\r\n", []string{`200 {"errcode":40125`}, nil},
		{"one token twice", "GET " + api + "?access_token=" + token + "&access_token=" + token + " HTTP/1.1\r\nHost: x\r\n\r\n", []string{`200 {"errcode":40001`}, nil},
		{
			"the key named as the connection's own", post + "Connection: Authorization, X-WeChat-AppID, Content-Length, Host\r\nContent-Length: 1\r\n\r\nx",
			[]string{`200 {"errcode":0`},
			[]string{"POST " + api + " " + ours + " x"},
		},
		{
			"a token of one account and the name of another", "GET " + api + "?access_token=" + token +
				" HTTP/1.1\r\nHost: x\r\nX-WeChat-AppID: " + otherApp + "\r\n\r\n",
			[]string{`200 {"errcode":0`},
			[]string{"GET " + api + " " + ours + " "},
		},
		{"a wait for leave, without a key", "POST " + api + " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", []string{`200 {"errcode":41001`}, nil},
		{
			"a wait for leave, with one", post + "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
			[]string{"100", `200 {"errcode":0`},
			[]string{"POST " + api + " " + ours + " x"},
		},
		{"a wait for something else", post + "Expect: 200-maybe\r\nContent-Length: 1\r\n\r\nx", []string{"417"}, nil},
	} {
		mu.Lock()
		seen = nil
		mu.Unlock()
		got := raw(t, strings.TrimPrefix(w.url, "http://"), row.send, len(row.want))
		if len(got) != len(row.want) {
			t.Errorf("%s: answered %q, want %q", row.name, got, row.want)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], row.want[i]) {
				t.Errorf("%s: answered %q, want %q", row.name, got, row.want)
			}
		}
		mu.Lock()
		if strings.Join(seen, "\n") != strings.Join(row.reach, "\n") {
			t.Errorf("%s: WeChat saw %q, want %q", row.name, seen, row.reach)
		}
		mu.Unlock()
	}
	w.mustNotShow(key, token, "91_real-token")
}

// raw sends bytes and returns status and body of each answer, of which there should be
// want, until the other side closes or has nothing more to say.
func raw(t *testing.T, address, send string, want int) (answers []string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, send); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	reader := bufio.NewReader(conn)
	for {
		if len(answers) >= want { // one more would come at once
			_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		}
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			return answers
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		answers = append(answers, res.Status[:3]+" "+string(body))
	}
}
