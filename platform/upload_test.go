package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// got is a form as WeChat gets it.
type got struct {
	URI, Name, Header string
	Size              int
	Length            int64
	Encoding          []string
}

// takesForms answers like /cgi-bin/media/upload, and refuses oldToken.
func takesForms(tb testing.TB, all *[]got) http.HandlerFunc {
	tb.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		one := got{URI: r.URL.Path + "?" + r.URL.Query().Get("type"), Length: r.ContentLength, Encoding: r.TransferEncoding}
		file, header, err := r.FormFile("media")
		if err == nil {
			content, _ := io.ReadAll(file)
			one.Name, one.Header, one.Size = header.Filename, header.Header.Get("Content-Disposition"), len(content)
		}
		*all = append(*all, one)
		if r.URL.Query().Get("access_token") == oldToken {
			_, _ = io.WriteString(w, refusalAnswer)
			return
		}
		_, _ = io.WriteString(w, `{"type":"image","media_id":"M1","created_at":1}`)
	}
}

// TestUpload: a file has a length and a name, whatever its size and wherever it comes from,
// and is sent again after a refusal.
func TestUpload(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	for _, size := range []int{0, 5, bodyInMemory - 1, bodyInMemory, 3 << 20} {
		var all []got
		client := serve(t, takesForms(t, &all)).Client(newFakeTokens(t), testAppID)
		content := iotest.HalfReader(io.MultiReader(bytes.NewReader(make([]byte, size)))) // nobody knows how long it is
		answer, err := client.Upload(t.Context(), "/cgi-bin/media/upload?type=image", "media", "/tmp/猫 \"1\".png", content)
		var out struct {
			ID string `json:"media_id"`
		}
		if err != nil || json.Unmarshal(answer, &out) != nil || out.ID != "M1" || len(all) != 2 {
			t.Fatalf("%d bytes: %s, %v, %d requests", size, answer, err, len(all))
		}
		for _, one := range all {
			if one.URI != "/cgi-bin/media/upload?image" || one.Name != `猫 "1".png` || one.Size != size || one.Length <= int64(size) || one.Encoding != nil ||
				!strings.Contains(one.Header, `; filename="`) || strings.Contains(one.Header, "filename*") {
				t.Errorf("%d bytes: %+v", size, one)
			}
		}
	}
	if left, _ := os.ReadDir(folder); len(left) > 0 {
		t.Errorf("%d temporary files are left", len(left))
	}
}

// TestUploadMistakes: each is said in words, and nothing is sent.
func TestUploadMistakes(t *testing.T) {
	broken := errors.New("the disk is broken")
	client := newAPI(t, Config{Transport: roundTripFunc(func(req *http.Request) (*http.Response, error) {
		t.Errorf("%s was sent", req.URL)
		return nil, io.EOF
	})}).Client(newFakeTokens(t), testAppID)
	for _, row := range []struct {
		path, field, name string
		content           io.Reader
		says              string
	}{
		{"/x", "media", "", strings.NewReader("x"), "takes a file without a name for none (41005)"},
		{"/x", "media", "/", strings.NewReader("x"), "takes a file without a name for none (41005)"},
		{"/x", "media", "a\nb", strings.NewReader("x"), "control character"},
		{"/x", "media", "a\xff", strings.NewReader("x"), "control character"},
		{"/x", "", "a.png", strings.NewReader("x"), `"media"`},
		{"/x", "media", "a.png", nil, "no content"},
		{"/x y", "media", "a.png", strings.NewReader("x"), "a space: write %20"},
		{"https://evil.example/x", "media", "a.png", strings.NewReader("x"), "not the path of an API"},
		{"/x", "media", "a.png", iotest.ErrReader(broken), "nothing was sent, as the body could not be read"},
	} {
		_, err := client.Upload(t.Context(), row.path, row.field, row.name, row.content)
		if err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%q %q %q: %v, want %s", row.path, row.field, row.name, err, row.says)
		}
		if row.says == "nothing was sent, as the body could not be read" && !errors.Is(err, broken) {
			t.Errorf("%v does not hold what broke", err)
		}
	}
}

// endless is a body that never comes.
type endless struct {
	closed chan struct{}
	once   sync.Once
}

func (e *endless) Read([]byte) (int, error) { <-e.closed; return 0, io.ErrClosedPipe }

func (e *endless) Close() error { e.once.Do(func() { close(e.closed) }); return nil }

// TestBodyThatHangs: a caller is not kept beyond its context by a body.
func TestBodyThatHangs(t *testing.T) {
	tokens := newFakeTokens(t)
	synctest.Test(t, func(t *testing.T) {
		client := newAPI(t, Config{Transport: roundTripFunc(func(req *http.Request) (*http.Response, error) {
			return response(req, 200, goodCall), nil
		})}).Client(tokens, testAppID)
		start := time.Now()
		req := newRequest(t, http.MethodPost, callURL, &endless{closed: make(chan struct{})})
		resp, err := client.HTTPClient().Do(req)
		discard(resp)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 30*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

// TestBodyWithoutLength: what another library streams gets a length.
func TestBodyWithoutLength(t *testing.T) {
	var all []got
	api := serve(t, takesForms(t, &all))
	client := api.Client(newFakeTokens(t), testAppID)
	upload, err := newForm("media", "a.png", strings.NewReader("picture"))
	if err != nil {
		t.Fatal(err)
	}
	reading, writing := io.Pipe()
	go func() {
		_, err := io.Copy(writing, upload.body)
		_ = writing.CloseWithError(err)
	}()
	req := newRequest(t, http.MethodPost, client.Base()+"/cgi-bin/media/upload?type=image", reading)
	req.Header.Set("Content-Type", upload.kind)
	resp, err := client.HTTPClient().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if client.Base() != api.Base() || !strings.Contains(string(answer), "M1") || len(all) != 2 || all[1].Length <= 7 || all[1].Size != 7 {
		t.Errorf("%s, %+v", answer, all)
	}
	if resp.Request.ContentLength > 0 || resp.Request.URL.Query().Has("access_token") {
		t.Errorf("the answer is not that of the caller's request: %v", resp.Request.URL)
	}
}

// TestDownload: a file is a file, an errcode is an error, and so is what is neither.
func TestDownload(t *testing.T) {
	picture := strings.Repeat("\x89PNG", 5<<10)
	for name, row := range map[string]struct {
		status     int
		kind, body string
		want       string // of the file
		says       string // of the error
		target     any
	}{
		"a file":               {200, "image/png", picture, picture, "", nil},
		"a short one":          {200, "image/png", "x", "x", "", nil},
		"a video's address":    {200, "text/plain", `{"video_url":"http://x"}`, `{"video_url":"http://x"}`, "", nil},
		"a file like JSON":     {200, "text/plain", `{"errcode":40007`, `{"errcode":40007`, "", nil},
		"a long JSON":          {200, "text/plain", `{"errcode":40007,"x":"` + strings.Repeat("x", 8<<10) + `"}`, `{"errcode":40007,"x":"` + strings.Repeat("x", 8<<10) + `"}`, "", nil},
		"an errcode":           {200, "text/plain", `{"errcode":40007,"errmsg":"invalid media_id"}`, "", "errcode 40007", new(*Error)},
		"an errcode that is 0": {200, "application/json", goodCall, goodCall, "", nil},
		"an errcode as text":   {200, "application/json", `{"errcode":"40007"}`, "", "errcode is not a whole number", new(*AnswerError)},
		"nothing":              {200, "image/png", "", "", "it is empty", new(*AnswerError)},
		"a login page":         {200, "text/html; charset=utf-8", "<html>", "", "it is HTML", new(*AnswerError)},
		"a proxy's error":      {502, "text/plain", "bad gateway", "", "HTTP status is not 200", new(*AnswerError)},
		"an errcode with 500":  {500, "application/json", `{"errcode":-1,"errmsg":"system error"}`, "", "errcode -1", new(*Error)},
		"412":                  {412, "", "", "", "412 to a body without Content-Length", new(*AnswerError)},
	} {
		client := serve(t, says(row.status, row.kind, row.body)).Client(newFakeTokens(t), testAppID)
		file, header, err := client.Download(t.Context(), "/cgi-bin/media/get", url.Values{"media_id": {"private"}})
		if row.says != "" {
			if err == nil || file != nil || !errors.As(err, row.target) || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "private") {
				t.Errorf("%s: %v, want a %T that says %s", name, err, row.target, row.says)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		content, err := io.ReadAll(file)
		if err != nil || file.Close() != nil || string(content) != row.want || header.Get("Content-Type") != row.kind {
			t.Errorf("%s: %d bytes, %v, %v", name, len(content), err, header)
		}
	}
}

// TestDownloadAgain: a refused token is not the caller's business; a file that is given up
// ends its request; one that breaks off is an error.
func TestDownloadAgain(t *testing.T) {
	var calls atomic.Int32
	ended := make(chan struct{})
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1:
			_, _ = io.WriteString(w, refusalAnswer)
		case 2:
			_, _ = io.WriteString(w, strings.Repeat("x", 8<<10))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(ended)
		default:
			w.Header().Set("Content-Length", "100000")
			_, _ = io.WriteString(w, strings.Repeat("x", 8<<10))
		}
	}).Client(newFakeTokens(t), testAppID)
	file, _, err := client.Download(t.Context(), "/cgi-bin/media/get", nil)
	if err != nil || calls.Load() != 2 {
		t.Fatalf("%v after %d calls", err, calls.Load())
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	<-ended
	file, _, err = client.Download(t.Context(), "/cgi-bin/media/get", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(file); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that broke off: %v", err)
	}
	_ = file.Close()
}

// TestTimeLimit: each sort of call has its own, and a ctx may say another.
func TestTimeLimit(t *testing.T) {
	tokens := newFakeTokens(t)
	synctest.Test(t, func(t *testing.T) {
		hanging := roundTripFunc(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		get := func(ctx context.Context, c *Client) error { return c.Get(ctx, "/x", nil, nil) }
		post := func(ctx context.Context, c *Client) error { return c.Post(ctx, "/x", nil, nil) }
		upload := func(ctx context.Context, c *Client) error {
			_, err := c.Upload(ctx, "/x", "media", "a.png", strings.NewReader("x"))
			return err
		}
		download := func(ctx context.Context, c *Client) error {
			_, _, err := c.Download(ctx, "/x", nil)
			return err
		}
		for name, row := range map[string]struct {
			timeout, limit time.Duration // of Config; of the ctx, 0 for none
			call           func(context.Context, *Client) error
			want           time.Duration
		}{
			"usual Get":                  {0, 0, get, 30 * time.Second},
			"usual Upload":               {0, 0, upload, 2 * time.Minute},
			"usual Download":             {0, 0, download, 2 * time.Minute},
			"longer, configured":         {5 * time.Minute, 0, get, 5 * time.Minute},
			"longer uploads, configured": {5 * time.Minute, 0, upload, 5 * time.Minute},
			"shorter, configured":        {time.Second, 0, post, time.Second},
			"shorter uploads":            {time.Second, 0, upload, 2 * time.Minute},
			"longer, once":               {0, 10 * time.Minute, post, 10 * time.Minute},
			"shorter, once":              {0, time.Second, download, time.Second},
			"none, once":                 {0, -1, upload, time.Hour},
			"none":                       {-1, 0, get, time.Hour},
			"no limit of downloads":      {-1, 0, download, time.Hour},
		} {
			client := newAPI(t, Config{Timeout: row.timeout, Transport: hanging}).Client(tokens, testAppID)
			ctx, cancel := context.WithTimeout(WithTimeLimit(t.Context(), row.limit), time.Hour)
			start := time.Now()
			err := row.call(ctx, client)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != row.want {
				t.Errorf("%s: %v after %s, want %s", name, err, time.Since(start), row.want)
			}
		}
		if client := newAPI(t, Config{Timeout: -1}).Client(tokens, testAppID).HTTPClient(); client.Timeout != 0 {
			t.Errorf("an HTTPClient without a limit has %s", client.Timeout)
		}
	})
}
