package door

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
)

// Seal returns what to answer to a push, for handlers that write answers themselves:
// reply, encrypted in the form of the push, or as it is where the push was not
// encrypted, is answered with "success" or with nothing.
//
// Handlers behind [Door.Middleware] or [Door.Callback] need no call of it: what they write
// with status 200 is sealed for them, and what Seal returned is left as it is.
func (c *Door) Seal(push *Push, reply []byte) ([]byte, error) {
	if push == nil {
		return nil, errors.New(c.Package + ": Seal needs the Push that is answered, which Client.Push returns")
	}
	if !push.Pair.Encrypted || len(reply) == 0 || string(reply) == "success" {
		return reply, nil
	}
	envelope, err := c.Verifier.Seal(push.Pair, strconv.FormatInt(time.Now().Unix(), 10), push.Query.Nonce, reply)
	if err != nil {
		return nil, fmt.Errorf(c.Package+": the answer cannot be sealed: %w", err)
	}
	if push.json() {
		return envelope.JSON(), nil
	}
	return envelope.XML(), nil
}

// json reports whether the push came as JSON, by the first byte of its message.
func (p *Push) json() bool {
	return bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(p.Message, []byte("\uFEFF")), " \t\r\n"), []byte("{"))
}

// sealingWriter keeps what handlers answer to an encrypted push, to seal it in the end.
type sealingWriter struct {
	gin.ResponseWriter
	body    bytes.Buffer
	begun   bool
	through bool  // what is written is sealed already
	err     error // why the answer cannot be sealed
}

var (
	errStreamed = errors.New("the handler streams its answer (Flush or Hijack): the answer to an encrypted push is sealed as a whole; " +
		"write it in one piece")
	errTooLarge = fmt.Errorf("the handler's answer is larger than %d bytes, which no sender of pushes takes", callback.MaxBody)
)

func (w *sealingWriter) Write(b []byte) (int, error) {
	if w.through {
		return w.ResponseWriter.Write(b)
	}
	w.begun = true
	if w.body.Len()+len(b) > callback.MaxBody {
		w.err = errTooLarge
		return 0, w.err
	}
	return w.body.Write(b)
}

// WriteHeader keeps the first status once something was written, as it is in plain mode:
// what is to be sealed does not leave in the clear because another one follows.
func (w *sealingWriter) WriteHeader(code int) {
	if w.through || !w.begun {
		w.ResponseWriter.WriteHeader(code)
	}
}

func (w *sealingWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

func (w *sealingWriter) WriteHeaderNow() {
	if w.through {
		w.ResponseWriter.WriteHeaderNow()
		return
	}
	w.begun = true
}

func (w *sealingWriter) Written() bool { return w.begun || w.ResponseWriter.Written() }

func (w *sealingWriter) Size() int {
	if w.through || !w.begun {
		return w.ResponseWriter.Size()
	}
	return w.body.Len()
}

func (w *sealingWriter) Flush() {
	if w.through {
		w.ResponseWriter.Flush()
		return
	}
	w.begun, w.err = true, errStreamed
}

func (w *sealingWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.through {
		return w.ResponseWriter.Hijack()
	}
	w.err = errStreamed
	return nil, nil, errStreamed
}

// finish sends what was kept: sealed if it is an answer in plain text with status 200.
func (w *sealingWriter) finish(c *Door, push *Push) error {
	out := w.ResponseWriter
	body := w.body.Bytes()
	if answersItself(bytes.TrimSpace(body)) {
		body = bytes.TrimSpace(body)
	}
	if out.Status() == http.StatusOK && w.err == nil && !answersItself(body) {
		if encoding := out.Header().Get("Content-Encoding"); encoding != "" && encoding != "identity" {
			w.err = fmt.Errorf("the answer is compressed (Content-Encoding %q), so that it cannot be sealed: "+
				"register the middleware that compresses before this one", encoding)
		} else if !c.isEnvelope(push, body) {
			body, w.err = c.Seal(push, body)
			contentType := "text/xml; charset=utf-8"
			if push.json() {
				contentType = "application/json; charset=utf-8"
			}
			out.Header().Set("Content-Type", contentType)
		}
	}
	if w.err != nil {
		out.Header().Del("Content-Encoding")
		out.Header().Set("Content-Type", "text/plain; charset=utf-8")
		out.WriteHeader(http.StatusInternalServerError)
		body = []byte("wrong")
	}
	out.Header().Del("Content-Length")
	out.WriteHeaderNow()
	_, _ = out.Write(body) // a sender who is gone misses nothing
	return w.err
}

// answersItself reports what stays in plain text in every mode.
func answersItself(body []byte) bool { return len(body) == 0 || string(body) == "success" }

// isEnvelope reports whether a handler has sealed its answer by itself, with the keys of
// the push. A bot of WeCom's (智能机器人) writes the names in small letters.
func (c *Door) isEnvelope(push *Push, body []byte) bool {
	answer, err := callback.ParseMessage(body)
	if err != nil {
		return false
	}
	field := func(name string) string {
		return cmp.Or(answer.Fields.Get(name), answer.Fields.Get(strings.ToLower(name)))
	}
	if field("Encrypt") == "" {
		return false
	}
	query := callback.Query{MsgSignature: field("MsgSignature"), Timestamp: field("TimeStamp"), Nonce: field("Nonce")}
	opened, pair, err := c.Envelopes.Open(query, body)
	return err == nil && pair == push.Pair && len(opened) > 0
}
