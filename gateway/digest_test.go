package gateway

import (
	"reflect"
	"testing"
)

// TestSecretFields: whatever a file may hold a secret in is left out of its fingerprint,
// whether that is text or digits.
func TestSecretFields(t *testing.T) {
	t.Parallel()
	var walk func(reflect.Type)
	seen := map[reflect.Type]bool{}
	walk = func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || seen[of] {
			return
		}
		seen[of] = true
		for _, field := range reflect.VisibleFields(of) {
			if field.Type == reflect.TypeFor[secretSource]() {
				name := field.Tag.Get("yaml")
				if !secretFields[name] {
					t.Errorf("%s.%s: %q is no secret field", of, field.Name, name)
				}
				one, other := digest([]byte(name+": abc")), digest([]byte(name+": 123"))
				if one != other || one == digest([]byte(name+": {env: A}")) {
					t.Errorf("%s: its value counts", name)
				}
				continue
			}
			walk(field.Type)
		}
	}
	walk(reflect.TypeFor[settingsFile]())
	if len(seen) < 8 {
		t.Errorf("only %d parts of a file were looked at", len(seen))
	}
}
