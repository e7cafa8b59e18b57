// Package openapitest compares answers with an OpenAPI description: the operation, the
// status and the content type. It leaves JSON Schema to its user (Contract.Validate), so
// that the main module needs no library for it; test/pages has one.
package openapitest

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
)

// Contract is an OpenAPI description of the gateway.
type Contract struct {
	JSON     []byte         // the description
	Document map[string]any // the same, decoded

	// Validate compares JSON with the schema at a place of the document, such as
	// "#/components/schemas/Refusal". nil accepts everything that is JSON.
	Validate func(at string, body []byte) error

	operations map[string]operation // by method and path

	mu   sync.Mutex
	seen map[string]bool // method, path and status of the answers that were checked
}

// operation is the description of one method of one path.
type operation struct {
	path     *regexp.Regexp
	statuses map[string]map[string]string // by status and content type: the place of the schema
}

// refusal is the place of the schema of an answer about a path or method that does not
// exist.
const refusal = "#/components/schemas/Refusal"

// Read reads a description in YAML.
func Read(text []byte) (*Contract, error) {
	c := &Contract{operations: map[string]operation{}, seen: map[string]bool{}}
	var err error
	if c.JSON, err = yaml.YAMLToJSON(text); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(c.JSON, &c.Document); err != nil {
		return nil, err
	}
	for path, item := range Dig(c.Document, "paths") {
		pattern := regexp.MustCompile("^" + regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), `[^/]+`) + "$")
		for method, described := range Dig(item) {
			if slices.Contains([]string{"get", "put", "post", "delete"}, method) {
				c.operations[strings.ToUpper(method)+" "+path] = operation{path: pattern, statuses: c.statuses(path, method, described)}
			}
		}
	}
	return c, nil
}

// statuses returns the content types of each status of an operation, with the place of
// their schema.
func (c *Contract) statuses(path, method string, described any) map[string]map[string]string {
	statuses := map[string]map[string]string{}
	for status, response := range Dig(described, "responses") {
		at := fmt.Sprintf("#/paths/%s/%s/responses/%s", escape(path), method, status)
		if ref, ok := Dig(response)["$ref"].(string); ok {
			at = ref
			response = c.Resolve(ref)
		}
		statuses[status] = map[string]string{}
		for contentType := range Dig(response, "content") {
			statuses[status][contentType] = at + "/content/" + escape(contentType) + "/schema"
		}
	}
	return statuses
}

// Dig returns the object under names, an empty one where there is none.
func Dig(in any, names ...string) map[string]any {
	object, _ := in.(map[string]any)
	for _, name := range names {
		object, _ = object[name].(map[string]any)
	}
	return object
}

// Resolve returns the object that a reference within the document names.
func (c *Contract) Resolve(ref string) map[string]any {
	return Dig(c.Document, strings.Split(ref, "/")[1:]...)
}

func escape(text string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(text)
}

// Operations returns method and path of every operation, sorted.
func (c *Contract) Operations() []string { return slices.Sorted(maps.Keys(c.operations)) }

// Schemas returns the places of the schemas of all JSON answers, sorted. Operations with
// the same answer share a place.
func (c *Contract) Schemas() []string {
	places := map[string]bool{}
	for _, o := range c.operations {
		for _, contentTypes := range o.statuses {
			if at, found := contentTypes["application/json"]; found {
				places[at] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(places))
}

// find returns the operation of a call, "" when the description has none.
func (c *Contract) find(method, path string) (string, operation) {
	for name, o := range c.operations {
		if described, _, _ := strings.Cut(name, " "); described == method && o.path.MatchString(path) {
			return name, o
		}
	}
	return "", operation{}
}

// has reports whether the description has a path.
func (c *Contract) has(path string) bool {
	for _, o := range c.operations {
		if o.path.MatchString(path) {
			return true
		}
	}
	return false
}

// Check returns how an answer differs from the description.
func (c *Contract) Check(method, path string, status int, contentType string, body []byte) error {
	name, o := c.find(method, path)
	if name == "" && (status == http.StatusNotFound && !c.has(path) || status == http.StatusMethodNotAllowed && c.has(path)) {
		return c.validate(refusal, body)
	}
	if name == "" {
		return fmt.Errorf("openapi.yaml does not describe %s %s, which was answered with %d", method, path, status)
	}
	schemas, listed := o.statuses[fmt.Sprint(status)]
	if !listed {
		return fmt.Errorf("openapi.yaml: %s may not answer %d: %s", name, status, body)
	}
	c.mu.Lock()
	c.seen[fmt.Sprintf("%s %d", name, status)] = true
	c.mu.Unlock()
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("%s: the content type %q: %w", name, contentType, err)
	}
	at, listed := schemas[kind]
	if !listed {
		return fmt.Errorf("openapi.yaml: %s %d may not be %s", name, status, kind)
	}
	if kind != "application/json" {
		return nil
	}
	return c.validate(at, body)
}

func (c *Contract) validate(at string, body []byte) error {
	if c.Validate != nil {
		return c.Validate(at, body)
	}
	if !json.Valid(body) {
		return fmt.Errorf("the body is not JSON: %s", body)
	}
	return nil
}

// Unmet returns the statuses of the operations below a path that no checked answer had.
func (c *Contract) Unmet(prefix string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var unmet []string
	for name, o := range c.operations {
		for status := range o.statuses {
			if _, path, _ := strings.Cut(name, " "); strings.HasPrefix(path, prefix) && !c.seen[name+" "+status] {
				unmet = append(unmet, name+" "+status)
			}
		}
	}
	slices.Sort(unmet)
	return unmet
}
