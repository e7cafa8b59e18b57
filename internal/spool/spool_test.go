package spool_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/zhongkong-go/zhongkong/internal/spool"
)

const (
	inMemory = 10
	most     = 100 << 10
)

func content(n int) []byte { return bytes.Repeat([]byte("0123456789"), n/10+1)[:n] }

// temporary lets temporary files be made in a folder, on any system.
func temporary(t *testing.T, folder string) {
	t.Helper()
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, folder)
	}
}

// TestMeasure: a body of any size that may be kept has a length, and is the same each time.
func TestMeasure(t *testing.T) {
	temporary(t, t.TempDir())
	for _, n := range []int{0, 1, inMemory, inMemory + 1, 40 << 10, most} {
		want := content(n)
		body, err := spool.Measure(iotest.HalfReader(bytes.NewReader(want)), inMemory, most, nil)
		if err != nil || body.Size() != int64(n) || (body.Memory() != nil) != (n <= inMemory) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		for range 2 {
			r, err := body.Open()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) || r.Close() != nil {
				t.Errorf("%d bytes: %d, %v", n, len(got), err)
			}
		}
		body.Close()
		body.Close()
		if _, err := body.Open(); (err == nil) != (n <= inMemory) {
			t.Errorf("%d bytes, after Close: %v", n, err)
		}
	}
}

// TestMeasureRefuses: what is too long, cannot be kept or breaks says so.
func TestMeasureRefuses(t *testing.T) {
	folder := t.TempDir()
	temporary(t, folder)
	broken := errors.New("broken")
	if _, err := spool.Measure(zeros{}, inMemory, most, nil); !errors.Is(err, spool.ErrTooLong) {
		t.Errorf("a body without end: %v", err)
	}
	for _, n := range []int64{1, 1000} {
		if _, err := spool.Measure(io.MultiReader(bytes.NewReader(content(int(n))), iotest.ErrReader(broken)), inMemory, most, nil); !errors.Is(err, broken) {
			t.Errorf("a body that breaks after %d bytes: %v", n, err)
		}
	}
	if left, _ := os.ReadDir(folder); len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
	temporary(t, folder+"/missing")
	_, err := spool.Measure(bytes.NewReader(content(1000)), inMemory, most, nil)
	if file, ok := errors.AsType[*spool.FileError](err); !ok || !errors.Is(err, os.ErrNotExist) || !strings.Contains(file.Error(), "TMPDIR") {
		t.Errorf("no temporary folder: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestNew: what was read for one attempt is there for the next, which ends the first; a
// body that is too long is sent once.
func TestNew(t *testing.T) {
	temporary(t, t.TempDir())
	want := content(50 << 10)
	body := spool.New(bytes.NewReader(want), most, nil)
	defer body.Close()
	first, _ := body.Open()
	if _, err := io.ReadFull(first, make([]byte, 20<<10)); err != nil {
		t.Fatal(err)
	}
	second, err := body.Open()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(second); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := first.Read(make([]byte, 1)); err == nil {
		t.Error("an attempt that was given up goes on")
	}

	long := spool.New(bytes.NewReader(content(most+1)), most, nil)
	defer long.Close()
	only, _ := long.Open()
	if got, err := io.ReadAll(only); err != nil || len(got) != most+1 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := long.Open(); err == nil {
		t.Error("a body that was not kept is sent again")
	}
}
