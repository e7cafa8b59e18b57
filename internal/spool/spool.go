// Package spool keeps the body of a request, so that it can be sent again and has a length:
// WeChat answers 412 to a body without Content-Length.
package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// ErrTooLong says that a body has more bytes than may be kept.
var ErrTooLong = errors.New("the body is too long to be kept")

// ErrNoRoom says that other bodies have the room already.
var ErrNoRoom = errors.New("other bodies have the room that there is: try again in a moment")

// Room is what the bodies of a process may take of the disk together. A body whose length is
// known takes it before it begins; one that is measured doubles what it has. One that is
// refused leaves what it had to the others in the same step, so that of several that have no
// room together, at least one is kept.
type Room interface {
	Grow(from, to int64) bool // to bytes instead of from; without room for them, none
	Give(n int64)             // them back
}

// errAgain ends the reader of an attempt that was given up.
var errAgain = errors.New("the body is being sent again, or its call has ended")

// errOnce ends an attempt to send a body again that could not be kept.
var errOnce = errors.New("the body could not be kept to be sent again")

// FileError says that no temporary file could be written.
type FileError struct{ Err error }

func (e *FileError) Error() string {
	return fmt.Sprintf("the body is too long for the memory, and no temporary file can be written (TMPDIR): %v", e.Err)
}

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }

// Body keeps what is read of a body in a temporary file. One reader at a time reads it:
// what was kept first, then on from the source. Transports may still read for an attempt
// when the next one begins, hence the lock.
type Body struct {
	most   int64
	room   Room   // nil: there is enough; of what it took
	memory []byte // the whole body, instead of what follows

	mu     sync.Mutex // guards what follows; held while the source is read
	source io.Reader
	file   *os.File
	size   int64 // what is in the file, and was read of the source
	taken  int64 // of the room
	over   bool  // it is not kept: there was no room, it was more than may be, or the file failed
	full   bool  // there was no room
	failed error // of the file
	reader *reader
	closed bool
}

// New returns a Body that reads source as it is sent, and keeps up to most bytes of it, in
// a room that may be nil. A longer one, and one for which there is no room, is sent once.
func New(source io.Reader, most int64, room Room) *Body {
	b := &Body{source: source, most: most, room: room}
	b.reserve(most)
	return b
}

// reserve takes n bytes of the room in all, or sets over.
func (b *Body) reserve(n int64) {
	if b.room != nil && !b.room.Grow(b.taken, n) {
		n, b.over, b.full = 0, true, true
	}
	b.taken = n
}

// Measure reads source to its end: up to inMemory bytes into memory, up to most into a
// temporary file in a room that may be nil. The error is that of source, [ErrTooLong],
// [ErrNoRoom] or a [*FileError].
func Measure(source io.Reader, inMemory, most int64, room Room) (*Body, error) {
	head, err := io.ReadAll(io.LimitReader(source, inMemory+1))
	if err != nil {
		return nil, err
	}
	if int64(len(head)) <= inMemory {
		return &Body{memory: head, size: int64(len(head))}, nil
	}
	b := &Body{source: source, most: most, room: room}
	b.keep(head)
	buffer := make([]byte, 32<<10)
	for err == nil && !b.over {
		var n int
		n, err = source.Read(buffer)
		b.keep(buffer[:n])
	}
	switch {
	case b.failed != nil:
		err = &FileError{b.failed}
	case b.full:
		err = ErrNoRoom
	case b.over:
		err = ErrTooLong
	case err == io.EOF: //nolint:errorlint // Reader's own, as io.Reader demands it
		if room != nil {
			room.Give(b.taken - b.size)
			b.taken = b.size
		}
		return b, nil
	}
	b.Close()
	return nil, err
}

// Size returns the length of a body that was measured.
func (b *Body) Size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size
}

// Memory returns a measured body that needed no file, nil for others.
func (b *Body) Memory() []byte { return b.memory }

// Open begins an attempt, from the first byte. It ends the one before.
func (b *Body) Open() (io.ReadCloser, error) {
	if b.memory != nil {
		return io.NopCloser(bytes.NewReader(b.memory)), nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over && b.reader != nil || b.closed {
		return nil, errOnce
	}
	b.reader = &reader{body: b}
	return b.reader, nil
}

// Close forgets the body. Closing twice is safe.
func (b *Body) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed && b.room != nil {
		b.room.Give(b.taken)
	}
	b.closed = true
	if b.file != nil {
		_ = b.file.Close()
		_ = os.Remove(b.file.Name()) // where an open file could not be removed
		b.file = nil
	}
}

// keep writes what was read, or sets over. The caller holds mu, or is alone.
func (b *Body) keep(p []byte) {
	if b.over {
		return
	}
	size := b.size + int64(len(p))
	if b.over = size > b.most; b.over {
		return
	}
	if size > b.taken {
		if b.reserve(min(b.most, max(size, 2*b.taken))); b.over {
			return
		}
	}
	var err error
	if b.file == nil {
		if b.file, err = os.CreateTemp("", "zhongkong-body-"); err == nil {
			_ = os.Remove(b.file.Name()) // where that works, it leaves nothing behind if the process is killed
		}
	}
	if err == nil {
		_, err = b.file.WriteAt(p, b.size)
	}
	if err != nil {
		b.over, b.failed = true, err
		return
	}
	b.size = size
}

// reader is one attempt's.
type reader struct {
	body *Body
	at   int64
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.reader != nil && b.reader != r {
		return 0, errAgain
	}
	if !b.over && r.at < b.size {
		n, err := b.file.ReadAt(p[:min(int64(len(p)), b.size-r.at)], r.at)
		r.at += int64(n)
		if n > 0 {
			err = nil
		}
		return n, err
	}
	n, err := b.source.Read(p)
	b.keep(p[:n]) // if that fails, it is sent once
	r.at += int64(n)
	return n, err
}

// Close implements [io.Closer]. The body stays, for the next attempt.
func (r *reader) Close() error { return nil }
