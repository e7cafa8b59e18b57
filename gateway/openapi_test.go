package gateway_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/openapitest"
)

// contract is openapi.yaml, with which the tests of this package compare every answer
// that it describes.
var contract = sync.OnceValue(func() *openapitest.Contract {
	c, err := openapitest.Read(gateway.Description())
	if err != nil {
		panic(err)
	}
	return c
})

// described reports whether openapi.yaml describes a path at the address for programs.
func described(path string) bool {
	return strings.HasPrefix(path, "/zhongkong/") || path == "/healthz" || path == "/readyz"
}

// TestDescription compares openapi.yaml with the routes of the code, both ways, and with
// the errcodes and statuses of refusals.
func TestDescription(t *testing.T) {
	c := contract()
	described := c.Operations()
	routed := gateway.Routes()
	slices.Sort(routed)
	if !slices.Equal(described, routed) {
		t.Errorf("openapi.yaml has\n%s\nand the gateway has\n%s", strings.Join(described, "\n"), strings.Join(routed, "\n"))
	}
	if c.Document["openapi"] != "3.1.0" {
		t.Errorf("openapi: %v", c.Document["openapi"])
	}
	text, _ := openapitest.Dig(c.Document, "components", "responses", "Refused")["description"].(string)
	for errcode, status := range gateway.Refusals() {
		_, line, found := strings.Cut(text, fmt.Sprintf("%d: ", status))
		line, _, _ = strings.Cut(line, ". ")
		name := fmt.Sprint(errcode)
		if errcode == 0 {
			name = "none"
		}
		if !found || !strings.Contains(line, name) {
			t.Errorf("openapi.yaml does not say that %d comes with %s", status, name)
		}
	}
	// Every reference names something.
	var walk func(at string, value any)
	walk = func(at string, value any) {
		switch value := value.(type) {
		case map[string]any:
			if ref, ok := value["$ref"].(string); ok && len(c.Resolve(ref)) == 0 {
				t.Errorf("%s: %s names nothing", at, ref)
			}
			for name, inner := range value {
				walk(at+"/"+name, inner)
			}
		case []any:
			for _, inner := range value {
				walk(at, inner)
			}
		}
	}
	walk("#", c.Document)
}
