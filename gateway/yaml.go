package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/zhongkong-go/zhongkong/internal/shape"
)

var errEmpty = errors.New("the configuration is empty")

// unmarshal reads YAML. Its errors quote no line, as a secret may stand in it.
func unmarshal(content []byte, into any) (err error) {
	defer func() {
		if recover() != nil { // the parser's, which may quote as well
			err = errors.New("the configuration cannot be read: look for a tag (!), an anchor (&) or an alias (*) where a list or a group of fields belongs, and write it without")
		}
	}()
	if len(bytes.TrimSpace(content)) == 0 {
		return errEmpty
	}
	switch err := yaml.UnmarshalWithOptions(content, into, yaml.Strict()); {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		return errEmpty
	default:
		return yamlError(err)
	}
}

// yamlError returns what the parser says without the lines that it would quote.
func yamlError(err error) error {
	if source, ok := errors.AsType[*sourceError](err); ok {
		return source
	}
	var e yaml.Error
	if !errors.As(err, &e) {
		return errors.New("the configuration is not what was expected there")
	}
	text := e.GetMessage()
	if mismatch, ok := errors.AsType[*yaml.TypeError](err); ok {
		text = "it has to be " + plainKind(mismatch.DstType)
		if mismatch.StructFieldName != nil {
			_, field, _ := strings.Cut(*mismatch.StructFieldName, ".")
			text = field + " has to be " + plainKind(mismatch.DstType)
		}
	}
	if shape.IsSecret(text) {
		text = "the value is not what was expected, and may be a secret"
	}
	if token := e.GetToken(); token != nil {
		return fmt.Errorf("line %d: %s", token.Position.Line, text)
	}
	return errors.New(text)
}

func plainKind(t reflect.Type) string {
	switch t.Kind() { //nolint:exhaustive // of the kinds in settingsFile
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.String:
		return "a text"
	case reflect.Slice:
		return "a list"
	default:
		return "a group of fields"
	}
}

// lineError puts the line of what a YAML path names in front of err.
func lineError(content []byte, path string, err error) error {
	p, pathErr := yaml.PathString(path)
	if pathErr != nil {
		return err
	}
	node, pathErr := p.ReadNode(bytes.NewReader(content))
	if pathErr != nil || node.GetToken() == nil {
		return err
	}
	return fmt.Errorf("line %d: %w", node.GetToken().Position.Line, err)
}
