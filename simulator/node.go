package simulator

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// node is an element of an answer, XML or JSON.
type node struct {
	name     string
	value    string
	children []node
}

func (n node) child(name string) (node, bool) {
	i := slices.IndexFunc(n.children, func(c node) bool { return c.name == name })
	if i < 0 {
		return node{}, false
	}
	return n.children[i], true
}

func (n node) has(name string) bool { _, found := n.child(name); return found }

func (n node) text(name string) string { c, _ := n.child(name); return c.value }

// parseAnswer reads an answer by its first character.
func parseAnswer(body string) (root node, format Format, err error) {
	trimmed := strings.TrimSpace(body)
	switch {
	case strings.HasPrefix(body, "\x1f\x8b"):
		return node{}, "", errors.New("the answer is compressed, though WeChat does not ask for that: switch it off for this path")
	case strings.HasPrefix(trimmed, "{"):
		root, err = parseJSON(trimmed)
		return root, JSON, err
	case strings.HasPrefix(trimmed, "<xml>"):
		root, err = parseXML(trimmed)
		return root, XML, err
	case strings.EqualFold(strings.Trim(trimmed, `"'`), "success"):
		return node{}, "", fmt.Errorf("the answer is %q: it has to be success, lower case, with nothing around it", excerpt(body))
	case strings.HasPrefix(trimmed, "<"):
		return node{}, "", errors.New("the answer is XML or HTML, but does not begin with <xml>: a reply does; an error page may have come in its place")
	default:
		return node{}, "", fmt.Errorf("the answer is neither success, nor empty, nor a reply in XML; it begins %.40q", body)
	}
}

func parseXML(body string) (node, error) {
	d := xml.NewDecoder(strings.NewReader(body)) //nolint:gosec // read by tokens: they become nodes, within the limit of an answer
	var open []node
	for {
		token, err := d.Token()
		if err != nil {
			return node{}, fmt.Errorf("the answer's XML is broken: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(open) == maxNesting {
				return node{}, errors.New("the answer's XML is nested too deep")
			}
			open = append(open, node{name: t.Name.Local})
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].value += string(t)
			}
		case xml.EndElement:
			done := open[len(open)-1]
			if len(done.children) > 0 {
				done.value = ""
			}
			if open = open[:len(open)-1]; len(open) == 0 {
				if _, err := d.Token(); !errors.Is(err, io.EOF) {
					return node{}, errors.New("the answer continues after </xml>")
				}
				return done, nil
			}
			parent := &open[len(open)-1]
			parent.children = append(parent.children, done)
		}
	}
}

func parseJSON(body string) (node, error) {
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil {
		return node{}, fmt.Errorf("the answer's JSON is broken: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return node{}, errors.New("the answer continues after its JSON")
	}
	return toNode("", fields), nil
}

func toNode(name string, value any) node {
	n := node{name: name}
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			n.children = append(n.children, toNode(key, v[key]))
		}
	case []any:
		for _, item := range v {
			n.children = append(n.children, toNode("item", item))
		}
	case nil:
	default:
		n.value = fmt.Sprint(v)
	}
	return n
}
