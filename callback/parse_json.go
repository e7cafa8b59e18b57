package callback

import "strings"

// parseJSON reads a JSON object into the form that XML has. A scanner of our own,
// because encoding/json takes MsgId and MsgID for the same name, loses digits of
// numbers that are decoded into any, and stops at no count.
func parseJSON(s string) (fields Fields, wrong string) {
	// A raw control character, which JSON forbids in strings, has been seen there.
	p := jsonParser{rest: strings.Map(func(r rune) rune { return max(r, ' ') }, s)}
	root, ok := p.object(1)
	switch {
	case p.wrong != "":
		return nil, p.wrong
	case !ok || strings.Trim(p.rest, space) != "":
		return nil, "its JSON is broken or ends too early"
	}
	return root, ""
}

type jsonParser struct {
	rest  string
	count int
	wrong string // set where more is to be said than that the JSON is broken
}

// skip passes white space, and then c if it is there.
func (p *jsonParser) skip(c byte) bool {
	p.rest = strings.TrimLeft(p.rest, space)
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = strings.TrimLeft(p.rest[1:], space)
	return true
}

func (p *jsonParser) deep(depth int) bool {
	if depth > maxDepth {
		p.wrong = wrongDepth
	}
	return depth > maxDepth
}

func (p *jsonParser) object(depth int) (fields Fields, ok bool) {
	if p.deep(depth) || !p.skip('{') {
		return nil, false
	}
	for first := true; !p.skip('}'); first = false {
		if !first && !p.skip(',') {
			return nil, false
		}
		name, ok := p.text()
		if !ok || !p.skip(':') {
			return nil, false
		}
		if fields, ok = p.value(fields, name, depth); !ok {
			return nil, false
		}
	}
	return fields, true
}

// value reads a value and appends what it is to fields.
func (p *jsonParser) value(fields Fields, name string, depth int) (_ Fields, ok bool) {
	if p.rest == "" {
		return nil, false
	}
	if p.rest[0] != '[' {
		if p.count++; p.count > maxFields {
			p.wrong = wrongCount
			return nil, false
		}
	}
	f := Field{Name: name}
	switch p.rest[0] {
	case '{':
		f.Fields, ok = p.object(depth + 1)
	case '[':
		return p.array(fields, name, depth+1)
	case '"':
		f.Value, ok = p.text()
	default:
		f.Value, ok = p.word()
	}
	return append(fields, f), ok
}

// array appends its values to fields; one in an array is a field of its own with
// the inner one's values inside.
func (p *jsonParser) array(fields Fields, name string, depth int) (_ Fields, ok bool) {
	if p.deep(depth) || !p.skip('[') {
		return nil, false
	}
	for first := true; !p.skip(']'); first = false {
		if !first && !p.skip(',') {
			return nil, false
		}
		if strings.HasPrefix(p.rest, "[") {
			if p.count++; p.count > maxFields {
				p.wrong = wrongCount
				return nil, false
			}
			inner, good := p.array(nil, name, depth+1)
			if !good {
				return nil, false
			}
			fields = append(fields, Field{Name: name, Fields: inner})
			continue
		}
		if fields, ok = p.value(fields, name, depth); !ok {
			return nil, false
		}
	}
	return fields, true
}

// text reads a string.
func (p *jsonParser) text() (string, bool) {
	if p.rest == "" || p.rest[0] != '"' {
		return "", false
	}
	for i := 1; i < len(p.rest); i++ {
		switch p.rest[i] {
		case '\\':
			i++
		case '"':
			raw := p.rest[:i+1]
			p.rest = p.rest[i+1:]
			if strings.IndexByte(raw, '\\') < 0 {
				return raw[1:i], true
			}
			text, ok := unescape([]byte(raw))
			return clean(text), ok // what XML may not contain is a space, however it is written
		}
	}
	return "", false
}

// word reads a number, which stays as it is written, true, false or null.
func (p *jsonParser) word() (string, bool) {
	end := strings.IndexAny(p.rest, ",]}"+space)
	if end < 0 {
		return "", false
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	switch word {
	case "null":
		return "", true
	case "true", "false":
		return word, true
	default:
		return word, isJSONNumber(word)
	}
}

func isJSONNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole, after := cutDigits(s)
	if whole == "" || len(whole) > 1 && whole[0] == '0' {
		return false
	}
	if fraction, ok := strings.CutPrefix(after, "."); ok {
		var digits string
		if digits, after = cutDigits(fraction); digits == "" {
			return false
		}
	}
	if after != "" && (after[0] == 'e' || after[0] == 'E') {
		after = after[1:]
		if after != "" && (after[0] == '+' || after[0] == '-') {
			after = after[1:]
		}
		var digits string
		if digits, after = cutDigits(after); digits == "" {
			return false
		}
	}
	return after == ""
}

func cutDigits(s string) (digits, after string) {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}
