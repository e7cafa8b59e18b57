//go:build unix

package sqlite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/store"
)

// documents is how many each process of TestBothDrivers adds.
const documents = 40

// addDocuments is what such a process does.
func addDocuments(ctx context.Context, s *Store) int {
	for i := range documents {
		doc := store.Document{Kind: "client", Name: fmt.Sprintf("%s-%d-%d", driver, os.Getpid(), i), Body: []byte(driver)}
		err := insist(func() error {
			_, err := s.Put(ctx, doc)
			return err
		}, func() { fmt.Println(again) })
		if err != nil {
			fmt.Println(err)
			return 1
		}
	}
	return 0
}

// otherKind builds these tests with the driver that this program has not.
func otherKind(t *testing.T) (binary, otherDriver string) {
	t.Helper()
	cgo, name := "0", "sqlite"
	if driver == name {
		cgo, name = "1", "sqlite3"
		if _, err := exec.LookPath("gcc"); err != nil {
			t.Skip("there is no C compiler for the driver that needs one")
		}
	}
	binary = filepath.Join(t.TempDir(), "other.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	return binary, name
}

// TestBothDrivers: processes with both drivers share a file.
func TestBothDrivers(t *testing.T) {
	tier.Full(t)
	t.Parallel()
	binary, otherDriver := otherKind(t)

	// They start at once on one missing file and add documents to it as fast as they can.
	// None is lost, and each is read with either driver.
	for round := range 3 {
		path := newPath(t)
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				cmd := process(t, "documents", filepath.Dir(path))
				if i%2 == 1 {
					cmd.Path, cmd.Args = binary, []string{binary}
				}
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("round %d: %v: %s", round, err, out)
				} else if len(out) > 0 {
					patience.Again(t, "Put in a process")
				}
			})
		}
		all.Wait()
		docs, err := open(t, path, nil).Documents(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		by := make(map[string]int)
		for _, doc := range docs {
			by[string(doc.Body)]++
		}
		if by[driver] != 2*documents || by[otherDriver] != 2*documents {
			t.Errorf("round %d: the file has %v documents, want %d of each driver", round, by, 2*documents)
		}
	}

	// One that is killed while it holds a lock hinders nobody.
	path := newPath(t)
	cmd := process(t, "hold", filepath.Dir(path))
	cmd.Path, cmd.Args = binary, []string{binary}
	killedHolder(t, cmd, path)
}
