package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/zhongkong-go/zhongkong/internal/spool"
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
		body := spool.New(source, out.ContentLength, share{&y.spools, w.client})
		out.Body, _ = body.Open()
		out.GetBody = body.Open
		return body.Close, nil
	}
	if out.ContentLength > 0 {
		head := make([]byte, out.ContentLength)
		if _, err := io.ReadFull(source, head); err != nil {
			return done, lateBody(err)
		}
		setBody(out, head)
		return done, nil
	}
	body, err := spool.Measure(source, limits.BodyInMemory, limits.BodyOnDisk, share{&y.spools, w.client})
	if err != nil {
		return done, unmeasured(err)
	}
	if head := body.Memory(); head != nil {
		setBody(out, head)
		return done, nil
	}
	out.ContentLength, out.TransferEncoding = body.Size(), nil
	out.Body, _ = body.Open()
	out.GetBody = body.Open
	return body.Close, nil
}

// unmeasured is about a body without a length that could not be given one.
func unmeasured(err error) *refusal {
	if errors.Is(err, spool.ErrNoRoom) {
		return &refusal{
			code:   codeBusy,
			status: http.StatusServiceUnavailable,
			why: "the body has no Content-Length and is too long for the memory, and the bodies on the disk have their share already: " +
				"try again in a moment, or send a Content-Length",
		}
	}
	if file, ok := errors.AsType[*spool.FileError](err); ok {
		return &refusal{
			code:   codeBusy,
			status: http.StatusServiceUnavailable,
			why: fmt.Sprintf("the body has no Content-Length and is too long for the memory, and no temporary file can be written: %v: "+
				"give the gateway a folder that it may write to (TMPDIR), or let the program send a Content-Length", file.Err),
		}
	}
	if errors.Is(err, spool.ErrTooLong) {
		return &refusal{
			code:   codeTooBig,
			status: http.StatusRequestEntityTooLarge,
			why:    "the body has no Content-Length, and is too long to be given one",
		}
	}
	return lateBody(err)
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
