package store

import (
	"bytes"
	"testing"
	"time"
)

// FuzzFunc: no document stops a Func store, and what is written reads back.
func FuzzFunc(f *testing.F) {
	f.Add([]byte(`{"access_token":"91_x","expires_in":1760000000000}`))
	f.Add([]byte(`{"access_token":"c2VhbGVk","expires_in":1,"seal_key":"0123456789abcdef","fence":9,"notes":{"forced":1}}`))
	f.Add([]byte(`{"access_token":"","expires_in":-9223372036854775808,"life":9223372036854775807}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var row Row
		now := time.Now()
		read(data).into(&row, now)
		out := documentOf(row)
		var again Row
		read(out).into(&again, now)
		if !bytes.Equal(documentOf(again), out) {
			t.Errorf("read back:\n%s\nwritten:\n%s", documentOf(again), out)
		}
	})
}
