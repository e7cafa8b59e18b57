package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
)

// keepBody makes the body of out one that can be sent again, as far as the limits
// allow. The caller calls done when the call was answered.
//
//   - Up to Limits.BodyInMemory it is read before the call is made.
//   - Up to Limits.BodyOnDisk it streams, and a copy goes into a temporary file, while
//     there is room for it (Limits.Spool).
//   - Beyond that it streams and is sent once.
//
// WeChat answers 412 to a body without Content-Length: one that comes without is
// read to its end first, up to Limits.BodyOnDisk.
func (y *relay) keepBody(w *observed, out *http.Request) (done func(), refused *refusal) {
	done = func() {}
	if out.ContentLength == 0 || out.Body == nil || out.Body == http.NoBody {
		setBody(out, nil)
		return done, nil
	}
	limits := y.limits
	source := http.MaxBytesReader(w, out.Body, limits.Body)
	if out.ContentLength > limits.BodyOnDisk {
		out.Body = source
		return done, nil
	}
	if out.ContentLength > limits.BodyInMemory {
		s := &spool{source: source, most: limits.BodyOnDisk, all: &y.spools, client: w.client}
		out.Body, out.GetBody = &reader{spool: s}, s.open
		return s.close, nil
	}
	var head []byte
	var err error
	if out.ContentLength > 0 {
		head = make([]byte, out.ContentLength)
		_, err = io.ReadFull(source, head)
	} else {
		head, err = io.ReadAll(io.LimitReader(source, limits.BodyInMemory+1))
	}
	if err != nil {
		return done, lateBody(err)
	}
	if int64(len(head)) <= limits.BodyInMemory {
		setBody(out, head)
		return done, nil
	}
	// No length, and too long for the memory.
	s := &spool{source: source, most: limits.BodyOnDisk, all: &y.spools, client: w.client}
	if err := s.keep(head); err == nil {
		_, err = io.Copy(io.Discard, &reader{spool: s, at: int64(len(head))})
		switch {
		case err != nil:
			s.close()
			return done, lateBody(err)
		case !s.over:
			out.ContentLength, out.TransferEncoding = s.size, nil
			out.Body, out.GetBody = &reader{spool: s}, s.open
			return s.close, nil
		}
	}
	s.close()
	if s.full {
		return done, &refusal{
			code:   codeBusy,
			status: http.StatusServiceUnavailable,
			why: "the body has no Content-Length and is too long for the memory, and the bodies on the disk have their share already: " +
				"try again in a moment, or send a Content-Length",
		}
	}
	if s.failed != nil {
		return done, &refusal{
			code:   codeBusy,
			status: http.StatusServiceUnavailable,
			why: fmt.Sprintf("the body has no Content-Length and is too long for the memory, and no temporary file can be written: %v: "+
				"give the gateway a folder that it may write to (TMPDIR), or let the program send a Content-Length", s.failed),
		}
	}
	return done, &refusal{
		code:   codeTooBig,
		status: http.StatusRequestEntityTooLarge,
		why:    "the body has no Content-Length, and is too long to be given one",
	}
}

func lateBody(err error) *refusal {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &refusal{code: codeTooBig, status: http.StatusRequestEntityTooLarge, why: "the body is longer than the limit"}
	}
	return &refusal{code: codeEmptyPost, status: http.StatusRequestTimeout, why: "the body did not arrive"}
}

// setBody gives out a body from memory.
func setBody(out *http.Request, body []byte) {
	out.ContentLength, out.TransferEncoding = int64(len(body)), nil
	if len(body) == 0 {
		out.Body, out.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
		return
	}
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	out.Body, _ = out.GetBody()
}

// errSpool ends the reader of an attempt that was given up.
var errSpool = errors.New("gateway: the body is being sent again")

// errOnce ends an attempt to send a body again that could not be kept.
var errOnce = errors.New("gateway: the body could not be kept to be sent again")

// spools are the bodies on the disk together. One client has a quarter of the room at
// most, so that its uploads leave room for those of others. What does not fit streams,
// and is sent once.
type spools struct {
	most int64

	mu  sync.Mutex // guards what follows
	all int64
	of  map[string]int64 // by client
}

// take uses n bytes of a client's share, or reports that they are not there.
func (s *spools) take(client string, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all+n > s.most || s.of[client]+n > s.most/4 {
		return false
	}
	s.all += n
	s.of[client] += n
	return true
}

func (s *spools) give(client string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all -= n
	if s.of[client] -= n; s.of[client] == 0 {
		delete(s.of, client)
	}
}

// spool keeps in a temporary file what is read of a body. One reader at a time reads
// it: what was kept first, then on from the source. Transports may still read for an
// attempt when the next one begins, hence the lock.
type spool struct {
	most   int64
	all    *spools
	client string // whose share it uses; "" is that of all who have no key

	mu     sync.Mutex // guards what follows; held while the source is read
	source io.Reader
	file   *os.File
	size   int64 // what is in the file, and was read of the source
	taken  int64 // of the shares
	over   bool  // it was more than may be kept, or the file failed
	failed error // of the file
	full   bool  // the shares were used up
	reader *reader
	closed bool
}

// reader is one attempt's.
type reader struct {
	spool *spool
	at    int64
}

// open begins another attempt.
func (s *spool) open() (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.closed {
		return nil, errOnce
	}
	r := &reader{spool: s}
	s.reader = r
	return r, nil
}

// keep writes what was read. The caller holds mu, or is alone.
func (s *spool) keep(p []byte) error {
	if s.over {
		return nil
	}
	err := error(nil)
	if s.full = !s.all.take(s.client, int64(len(p))); s.full {
		s.over = true
		return errOnce
	}
	s.taken += int64(len(p))
	if s.file == nil {
		s.file, err = os.CreateTemp("", "zhongkong-body-")
		if err == nil {
			_ = os.Remove(s.file.Name()) // where that works, it leaves nothing behind if the process is killed
		}
	}
	if err == nil && s.size+int64(len(p)) <= s.most {
		_, err = s.file.WriteAt(p, s.size)
	} else if err == nil {
		err = errOnce
	}
	if err != nil {
		s.over = true
		if err != errOnce { //nolint:errorlint // our own
			s.failed = err
		}
		return err
	}
	s.size += int64(len(p))
	return nil
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	s := r.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.reader != nil && s.reader != r {
		return 0, errSpool
	}
	if !s.over && r.at < s.size {
		n, err := s.file.ReadAt(p[:min(int64(len(p)), s.size-r.at)], r.at)
		r.at += int64(n)
		if n > 0 {
			err = nil
		}
		return n, err
	}
	n, err := s.source.Read(p)
	_ = s.keep(p[:n]) // then it is sent once
	r.at += int64(n)
	return n, err
}

// Close implements [io.Closer]. The spool stays, for the next attempt.
func (r *reader) Close() error { return nil }

// close forgets the body.
func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.all.give(s.client, s.taken)
	}
	s.closed = true
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name()) // where an open file could not be removed
	}
}
