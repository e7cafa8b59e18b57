package openapitest

import (
	"slices"
	"strings"
	"testing"
)

const description = `
openapi: 3.1.0
paths:
  /v1/things/{id}:
    get:
      responses:
        "200": {content: {application/json: {schema: {type: object}}}}
        "404": {$ref: "#/components/responses/Refused"}
components:
  responses:
    Refused: {content: {application/json: {schema: {$ref: "#/components/schemas/Refusal"}}}}
  schemas:
    Refusal: {type: object}
`

// TestCheckSees gives the check what it is there to find.
func TestCheckSees(t *testing.T) {
	c, err := Read([]byte(description))
	if err != nil {
		t.Fatal(err)
	}
	const json, thing = "application/json; encoding=utf-8", "/v1/things/1"
	for name, test := range map[string]struct {
		method, path string
		status       int
		kind, body   string
		want         string
	}{
		"right":                 {"GET", thing, 200, json, `{}`, ""},
		"unknown path":          {"GET", thing + "/x", 200, json, `{}`, "does not describe"},
		"unknown path, refused": {"GET", thing + "/x", 404, json, `{}`, ""},
		"unknown method":        {"PUT", thing, 200, json, `{}`, "does not describe"},
		"method refused":        {"PUT", thing, 405, json, `{}`, ""},
		"method taken for path": {"PUT", thing, 404, json, `{}`, "does not describe"},
		"another status":        {"GET", thing, 403, json, `{}`, "may not answer 403"},
		"another type":          {"GET", thing, 200, "text/html", ``, "may not be text/html"},
		"no type":               {"GET", thing, 200, "", `{}`, "content type"},
		"no JSON":               {"GET", thing, 200, json, `{`, "not JSON"},
	} {
		err := c.Check(test.method, test.path, test.status, test.kind, []byte(test.body))
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	if got := c.Unmet("/v1/"); !slices.Equal(got, []string{"GET /v1/things/{id} 404"}) {
		t.Errorf("unmet: %q", got)
	}
	var places []string
	c.Validate = func(at string, _ []byte) error { places = append(places, at); return nil }
	for _, status := range []int{200, 404} {
		if err := c.Check("GET", thing, status, json, nil); err != nil {
			t.Error(err)
		}
	}
	want := []string{
		"#/paths/~1v1~1things~1%7Bid%7D/get/responses/200/content/application~1json/schema",
		"#/components/responses/Refused/content/application~1json/schema",
	}
	if !slices.Equal(places, want) || len(c.Unmet("/")) != 0 {
		t.Errorf("schemas at %q, want %q; unmet: %q", places, want, c.Unmet("/"))
	}
}
