package migrations_test

import (
	"fmt"
	"io/fs"
	"log"

	"github.com/zhongkong-go/zhongkong/migrations"
)

// The files are for goose, and plain SQL for any other tool.
func ExampleOf() {
	files, newest, err := migrations.Of(migrations.Postgres)
	if err != nil {
		log.Fatal(err)
	}
	names, err := fs.Glob(files, "*.sql")
	fmt.Println(len(names) == int(newest), err)
	// Output: true <nil>
}
