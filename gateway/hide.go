package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// secretsKept is how many of an account's latest tokens are looked for in answers.
const secretsKept = 4

// secrets are what no answer may show: an account's AppSecret and its latest tokens.
type secrets struct {
	last atomic.Pointer[string]

	mu      sync.Mutex // guards what follows
	tokens  []string   // the newest first
	needles atomic.Pointer[[][]byte]
}

// add remembers a token that is about to go to WeChat.
func (s *secrets) add(appSecret, token string) {
	if last := s.last.Load(); last != nil && *last == token {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last.Store(&token)
	s.tokens = slices.DeleteFunc(s.tokens, func(t string) bool { return t == token })
	s.tokens = append([]string{token}, s.tokens[:min(len(s.tokens), secretsKept-1)]...)
	s.needles.Store(needles(append(slices.Clone(s.tokens), appSecret)...))
}

// minNeedle is how long a value has to be to be looked for: a short one stands in
// answers by chance.
const minNeedle = 12

// needles returns values as they may stand in an answer.
func needles(values ...string) *[][]byte {
	var all [][]byte
	for _, value := range values {
		if len(value) < minNeedle {
			continue
		}
		quoted, _ := json.Marshal(value) // a string always has JSON
		for _, form := range []string{value, url.QueryEscape(value), string(quoted[1 : len(quoted)-1])} {
			if !slices.ContainsFunc(all, func(n []byte) bool { return string(n) == form }) {
				all = append(all, []byte(form))
			}
		}
	}
	return &all
}

// hide takes the values out of an answer's header, and out of its body and its trailer as
// they are read.
func hide(resp *http.Response, needles [][]byte) {
	hideHeader(resp.Header, needles)
	hideHeader(resp.Trailer, needles)
	if h, short := resp.Body.(*held); short && h.err == io.EOF { //nolint:errorlint // Reader's own
		mask(h.buffer[h.at:h.end], needles)
		return
	}
	resp.Body = &masked{resp: resp, body: resp.Body, needles: needles}
}

func hideHeader(header http.Header, needles [][]byte) {
	for _, values := range header {
		for i, value := range values {
			if len(value) < minNeedle {
				continue
			}
			for _, n := range needles {
				if strings.Contains(value, string(n)) { // which copies nothing
					values[i] = strings.ReplaceAll(values[i], string(n), "[secret]")
				}
			}
		}
	}
}

// mask puts stars over the values, so that no length changes.
func mask(text []byte, needles [][]byte) {
	for _, n := range needles {
		for at := bytes.Index(text, n); at >= 0; at = bytes.Index(text, n) {
			for i := range n {
				text[at+i] = '*'
			}
		}
	}
}

// masked is a body with stars over the values, wherever pieces of it end.
type masked struct {
	resp    *http.Response // whose trailer is known at the body's end
	body    io.ReadCloser
	needles [][]byte
	buffer  []byte
	ready   []byte // of it, to be given out
	rest    []byte // read, and perhaps the beginning of a value
	err     error
}

// Read implements [io.Reader].
func (m *masked) Read(p []byte) (int, error) {
	for len(m.ready) == 0 {
		if m.err != nil {
			return 0, m.err
		}
		if m.buffer == nil {
			m.buffer = make([]byte, bufferBytes)
		}
		kept := copy(m.buffer, m.rest) // a value is shorter than the buffer
		n, err := m.body.Read(m.buffer[kept:])
		piece := m.buffer[:kept+n]
		if m.err = err; err == io.EOF {
			hideHeader(m.resp.Trailer, m.needles)
		}
		mask(piece, m.needles)
		keep := 0
		if err == nil {
			keep = m.begun(piece)
		}
		m.ready, m.rest = piece[:len(piece)-keep], piece[len(piece)-keep:]
	}
	n := copy(p, m.ready)
	m.ready = m.ready[n:]
	return n, nil
}

// begun returns how many bytes at the end of piece may be the beginning of a value.
func (m *masked) begun(piece []byte) (most int) {
	for _, n := range m.needles {
		for k := min(len(n)-1, len(piece)); k > most; k-- {
			if bytes.HasPrefix(n, piece[len(piece)-k:]) {
				most = k
			}
		}
	}
	return most
}

// Close implements [io.Closer].
func (m *masked) Close() error { return m.body.Close() }

// toldSecrets are what rid/get tells of the call that it is asked about: the query
// and the bodies of requests that this gateway sent, with real tokens and secrets.
// They may stand in JSON within JSON, with any number of backslashes, in pairs of name
// and value, in XML, and percent-encoded; a token is also known by its looks.
var toldSecrets = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(?i)((?:access_token|refresh_token|appsecret|secret|ticket)` +
		`(?:=|%3d|%253d|\\*u003d|&#0*61;|&#x0*3d;|&equals;|\\*"\s*:\s*\\*"|%22%3a%22|\\*"\s*,\s*\\*"value\\*"\s*:\s*\\*"|\s*>))[^&"\\\s<%]+`), "${1}[secret]"},
	{regexp.MustCompile(`[0-9]{1,3}_[A-Za-z0-9_-]{60,}`), "[secret]"},
}
