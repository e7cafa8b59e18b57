package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// readJSON reads a body that is one JSON object, and refuses what two programs could
// read in two ways: a name that appears twice, in whatever case, and anything
// behind the object. What is nested deeper than anything of ours is refused unread.
func readJSON(body []byte, into any) error {
	if err := shallow(body); err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	first, err := decoder.Token()
	if err != nil {
		return err
	}
	if first != json.Delim('{') {
		return errors.New("it is no JSON object")
	}
	seen := map[string]bool{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		text, _ := name.(string)
		if text = strings.ToLower(text); seen[text] {
			return fmt.Errorf("%.40q appears twice", text)
		}
		seen[text] = true
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind the JSON object")
	}
	return json.Unmarshal(body, into)
}

// readBody reads the body of a call of the gateway's own API.
func readBody(r *http.Request, into any) *refusal {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxFetchBody+1))
	switch {
	case err != nil || len(body) > maxFetchBody:
		return refuse(codeTooBig, "the body did not arrive, or has more than %d bytes", maxFetchBody)
	case readJSON(body, into) != nil:
		return refuse(codeFormat, "the body is not the JSON that was expected")
	}
	return nil
}

// maxDepth is how deep what a peer sends may be nested: accounts, their callbacks,
// subscribers and rules need eight.
const maxDepth = 24

// shallow refuses what is nested so deep that reading it would take gigabytes, before
// any parser sees it. It counts brackets that were not closed, be they quoted or not,
// and the dashes of lists that begin in one line.
func shallow(content []byte) error {
	depth, dashes, front := 0, 0, true
	for _, c := range content {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		case '\n', '\r':
			dashes, front = 0, true
			continue
		case '-', '?', ':':
			if front {
				dashes++
			}
		case ' ', '\t':
			continue
		default:
			front = false
		}
		if depth > maxDepth || dashes > maxDepth {
			return fmt.Errorf("the body is nested more than %d deep", maxDepth)
		}
	}
	return nil
}
