package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// readJSON reads a body that is one JSON object, and refuses what two programs could
// read in two ways: a name that stands there twice, in whatever case, and anything
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
			return fmt.Errorf("%.40q stands there twice", text)
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
