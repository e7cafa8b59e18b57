package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"strings"
)

func isObject(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) && json.Valid(body) && !repeats(body)
}

// repeats reports whether an object in valid JSON has two fields of one name.
func repeats(body []byte) bool {
	type level struct {
		names map[string]bool // nil: an array
		value bool            // the next token is a field's value
	}
	var levels []level
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	for {
		t, err := d.Token()
		if err != nil {
			return false
		}
		at := len(levels) - 1
		inObject := at >= 0 && levels[at].names != nil
		delim, isDelim := t.(json.Delim)
		switch {
		case isDelim && (delim == '}' || delim == ']'):
			levels = levels[:at]
			continue
		case inObject && !levels[at].value:
			name := t.(string)
			if levels[at].names[name] {
				return true
			}
			levels[at].names[name], levels[at].value = true, true
			continue
		case inObject:
			levels[at].value = false
		}
		switch {
		case isDelim && delim == '{':
			levels = append(levels, level{names: map[string]bool{}})
		case isDelim:
			levels = append(levels, level{})
		}
	}
}

// decode reads an object into a struct whose fields are in lower case. Unlike
// encoding/json, WeChat tells names apart by their case.
func decode(body []byte, into any) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return err
	}
	if repeats(body) {
		return errors.New("a field appears twice")
	}
	maps.DeleteFunc(fields, func(name string, _ json.RawMessage) bool { return name != strings.ToLower(name) })
	body, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// hasEscape reports whether JSON has a \uXXXX in it; a \\u is a backslash and a u.
func hasEscape(body []byte) bool {
	for i := 0; i+1 < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		if body[i+1] == 'u' {
			return true
		}
		i++
	}
	return false
}

// decode reads the body as a JSON object.
func (c *call) decode(into any) bool { return decode(c.body, into) == nil }

// readMedia reads the file of an upload: the first part of the form that has the name, of
// any name with "", and a filename.
func (c *call) readMedia(name string) (m media, found bool) {
	mediaType, parameters, err := mime.ParseMediaType(c.req.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/form-data" {
		return media{}, false
	}
	form := multipart.NewReader(bytes.NewReader(c.body), parameters["boundary"])
	for {
		part, err := form.NextPart()
		if err != nil {
			return media{}, false
		}
		if name != "" && part.FormName() != name {
			continue
		}
		filename := plainFilename(part.Header.Get("Content-Disposition"))
		if filename == "" && name == "" {
			continue
		}
		if filename == "" {
			return media{}, false
		}
		body, err := io.ReadAll(part)
		if err != nil || len(body) == 0 {
			return media{}, false
		}
		return media{name: path.Base(filename), contentType: http.DetectContentType(body), body: string(body)}, true
	}
}
