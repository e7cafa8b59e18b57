package gateway

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/shape"
)

// secretSource says where a secret is. No more than one field is set.
type secretSource struct {
	literal custody.Secret
	env     string
	file    string
}

// sourceError is about the form of a secret: its text never shows what stands there.
type sourceError struct{ line int }

func (e *sourceError) Error() string {
	return fmt.Sprintf("line %d: a secret is {env: NAME}, {file: PATH} or the text itself", e.line)
}

// UnmarshalYAML implements yaml.NodeUnmarshaler. It takes a scalar as it is written:
// a secret of digits is no number.
func (s *secretSource) UnmarshalYAML(node ast.Node) error {
	switch node := node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		var named struct {
			Env  string `yaml:"env"`
			File string `yaml:"file"`
		}
		if err := yaml.NodeToValue(node, &named, yaml.Strict()); err != nil || (named.Env == "") == (named.File == "") {
			return &sourceError{node.GetToken().Position.Line}
		}
		s.env, s.file = named.Env, named.File
	case ast.ScalarNode:
		s.literal = custody.NewSecret(node.GetToken().Value)
	default:
		return &sourceError{node.GetToken().Position.Line}
	}
	return nil
}

// plainly returns a name for an error's text, which somebody may have taken for the field
// of the value.
func plainly(name string) string {
	if shape.IsSecret(name) {
		return shape.Show(name)
	}
	return name
}

// unsetError is about a variable of the environment.
type unsetError struct{ name string }

func (e *unsetError) Error() string {
	return fmt.Sprintf("the environment variable %s is not set", e.name)
}

// Unset returns the variable's name. A command tells by it what a restart mends.
func (e *unsetError) Unset() string { return e.name }

func (s secretSource) isZero() bool { return s.literal.IsZero() && s.env == "" && s.file == "" }

// read returns the secret. Relative files are in folder.
func (s secretSource) read(folder string, env func(string) (string, bool)) (custody.Secret, error) {
	var text string
	switch {
	case s.env != "":
		value, _ := env(s.env)
		if text = strings.TrimSpace(value); text == "" {
			return custody.Secret{}, &unsetError{plainly(s.env)}
		}
	case s.file != "":
		path := s.file
		if err := shape.Path("the path of the secret's file", path); err != nil {
			return custody.Secret{}, err
		}
		if shape.IsSecret(path) {
			return custody.Secret{}, errors.New("the path of the secret's file looks like the secret itself: write that without {file: …}, or name the file")
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(folder, path)
		}
		content, err := readLimited(path, 64<<10)
		if err != nil {
			return custody.Secret{}, fmt.Errorf("the file of the secret cannot be read: %w", err)
		}
		if text = strings.TrimSpace(string(content)); text == "" {
			return custody.Secret{}, fmt.Errorf("the file %s is empty", path)
		}
	default:
		text = s.literal.Reveal()
	}
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return custody.Secret{}, errors.New("the secret holds white space or a control character: copy it again")
	}
	return custody.NewSecret(text), nil
}

func readLimited(path string, most int64) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // whoever configures the program names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(content)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return content, err
}
