package gateway_test

import (
	"bytes"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/zhongkong-go/zhongkong/gateway"
)

// contract is openapi.yaml, to which every answer is held that a test of this package
// sees of what it describes.
var contract = sync.OnceValue(func() *openAPI {
	c, err := readContract(gateway.Description())
	if err != nil {
		panic(err)
	}
	return c
})

const contractURL = "http://zhongkong.invalid/openapi.json"

// openAPI is a description, with its schemas ready to be used.
type openAPI struct {
	document   map[string]any
	operations map[string]operation // by method and path
	schemas    *jsonschema.Compiler

	mu   sync.Mutex
	seen map[string]bool // method, path and status of what was answered
}

// operation is what is described of one method of one path.
type operation struct {
	path     *regexp.Regexp
	statuses map[string]map[string]string // content types of each status, and where their schema is
}

func readContract(text []byte) (*openAPI, error) {
	plain, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(plain))
	if err != nil {
		return nil, err
	}
	c := &openAPI{operations: map[string]operation{}, schemas: jsonschema.NewCompiler(), seen: map[string]bool{}}
	c.document, _ = document.(map[string]any)
	c.schemas.DefaultDraft(jsonschema.Draft2020) // as OpenAPI 3.1 has it
	c.schemas.AssertFormat()
	if err := c.schemas.AddResource(contractURL, document); err != nil {
		return nil, err
	}
	for path, item := range dig(c.document, "paths") {
		pattern := regexp.MustCompile("^" + regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), `[^/]+`) + "$")
		for method, described := range item.(map[string]any) {
			if !slices.Contains([]string{"get", "put", "post", "delete"}, method) {
				continue
			}
			o := operation{path: pattern, statuses: map[string]map[string]string{}}
			for status, response := range dig(described, "responses") {
				at := fmt.Sprintf("#/paths/%s/%s/responses/%s", escape(path), method, status)
				if ref, ok := response.(map[string]any)["$ref"].(string); ok {
					at = ref
					response = c.resolve(ref)
				}
				o.statuses[status] = map[string]string{}
				for contentType := range dig(response, "content") {
					o.statuses[status][contentType] = at + "/content/" + escape(contentType) + "/schema"
				}
			}
			c.operations[strings.ToUpper(method)+" "+path] = o
		}
	}
	return c, nil
}

// dig returns the object under names, an empty one where there is none.
func dig(in any, names ...string) map[string]any {
	object, _ := in.(map[string]any)
	for _, name := range names {
		object, _ = object[name].(map[string]any)
	}
	return object
}

// resolve returns what a reference within the document names.
func (c *openAPI) resolve(ref string) any { return dig(c.document, strings.Split(ref, "/")[1:]...) }

func escape(text string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(text)
}

// find returns the operation that a call is, "" when nothing is said about it.
func (c *openAPI) find(method, path string) (string, operation) {
	for name, o := range c.operations {
		if said, _, _ := strings.Cut(name, " "); said == method && o.path.MatchString(path) {
			return name, o
		}
	}
	return "", operation{}
}

// has reports whether the description has a path.
func (c *openAPI) has(path string) bool {
	for _, o := range c.operations {
		if o.path.MatchString(path) {
			return true
		}
	}
	return false
}

// check returns how an answer differs from what is described.
func (c *openAPI) check(method, path string, status int, contentType string, body []byte) error {
	name, o := c.find(method, path)
	if name == "" && (status == http.StatusNotFound && !c.has(path) || status == http.StatusMethodNotAllowed && c.has(path)) {
		return c.validate("#/components/schemas/Refusal", body)
	}
	if name == "" {
		return fmt.Errorf("openapi.yaml says nothing about %s %s, which was answered with %d", method, path, status)
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

// validate holds JSON to the schema at a place of the document.
func (c *openAPI) validate(at string, body []byte) error {
	c.mu.Lock()
	schema, err := c.schemas.Compile(contractURL + at)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	return nil
}

// unmet returns what program-facing statuses of the description were never seen.
func (c *openAPI) unmet(prefix string) []string {
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

// described reports whether a path is one that the contract is about, at the address
// for programs.
func described(path string) bool {
	return strings.HasPrefix(path, "/zhongkong/") || path == "/healthz" || path == "/readyz"
}

// TestDescription holds openapi.yaml to the routes of the code, both ways, and to the
// errcodes and statuses of refusals.
func TestDescription(t *testing.T) {
	c := contract()
	said := slices.Sorted(maps.Keys(c.operations))
	routed := gateway.Routes()
	slices.Sort(routed)
	if !slices.Equal(said, routed) {
		t.Errorf("openapi.yaml has\n%s\nand the gateway has\n%s", strings.Join(said, "\n"), strings.Join(routed, "\n"))
	}
	if c.document["openapi"] != "3.1.0" {
		t.Errorf("openapi: %v", c.document["openapi"])
	}
	text, _ := dig(c.document, "components", "responses", "Refused")["description"].(string)
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
	// Every reference leads somewhere, every schema is one.
	var walk func(at string, value any)
	walk = func(at string, value any) {
		switch value := value.(type) {
		case map[string]any:
			if ref, ok := value["$ref"].(string); ok && len(dig(c.resolve(ref))) == 0 {
				t.Errorf("%s: %s leads nowhere", at, ref)
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
	walk("#", c.document)
	for name := range dig(c.document, "components", "schemas") {
		if _, err := c.schemas.Compile(contractURL + "#/components/schemas/" + name); err != nil {
			t.Error(err)
		}
	}
}

// TestContractSees gives the check what it is there to find.
func TestContractSees(t *testing.T) {
	c, err := readContract(gateway.Description()) // its own, so that what it sees counts nowhere
	if err != nil {
		t.Fatal(err)
	}
	const json, token = "application/json; encoding=utf-8", "/zhongkong/v1/accounts/wx0/token"
	for name, test := range map[string]struct {
		method, path string
		status       int
		kind, body   string
		want         string
	}{
		"right":                     {"GET", token, 200, json, `{"appid":"wx0","access_token":"zk_x","expires_in":7200,"real":false}`, ""},
		"right, real":               {"GET", token, 200, json, `{"appid":"wx0","access_token":"91_x","expires_in":7,"real":true,"fence":1}`, ""},
		"another path":              {"GET", token + "s", 200, json, `{}`, "says nothing"},
		"a method that is not":      {"PUT", token, 405, json, `{"error":"x","rid":"01234567-01234567-01234567"}`, ""},
		"a path that is not":        {"GET", token + "s", 404, json, `{}`, "error"},
		"a path that is":            {"PUT", token, 404, json, `{}`, "says nothing"},
		"another method":            {"PUT", token, 200, json, `{}`, "says nothing"},
		"another status":            {"GET", token, 404, json, `{}`, "may not answer 404"},
		"another type":              {"GET", token, 200, "text/html", ``, "may not be text/html"},
		"no JSON":                   {"GET", token, 200, json, `{`, "EOF"},
		"a field too many":          {"GET", token, 200, json, `{"appid":"wx0","access_token":"zk_x","expires_in":7200,"real":false,"secret":""}`, "secret"},
		"a field too few":           {"GET", token, 200, json, `{"appid":"wx0","access_token":"zk_x","real":false}`, "expires_in"},
		"a real one of the gateway": {"GET", token, 200, json, `{"appid":"wx0","access_token":"91_x","expires_in":7200,"real":false}`, "pattern"},
		"a wrong type":              {"GET", "/clients", 200, json, `{"clients":{}}`, "array"},
		"a wrong refusal":           {"GET", token, 401, json, `{"error":"x"}`, "rid"},
	} {
		err := c.check(test.method, test.path, test.status, test.kind, []byte(test.body))
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
