// Command generate writes what package docs makes: the import table, the index
// of the decisions, the error handbook and the pages of log lines.
//
//	go generate ./internal/docs
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/zhongkong-go/zhongkong/internal/docs"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "generate: name the top of the repository: go run ./internal/docs/generate .")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func write(root string) error {
	files, err := docs.Generate(root)
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
