// Package lang decides in which language a person reads, and has the one way to say things
// in it: commands, pages and remedies are written in English and in Chinese. Log lines are
// not among them; they stay English and carry a code (docs/logs.md).
//
// A text that exists in both languages where it is written is a [Text]. Otherwise the code
// has the English one, and a [Words] the Chinese one by it. Errors come from packages that
// know of no language: a [Dictionary] recognises their sentences, and [Explained] adds a
// sentence of ours to what the operating system says.
package lang

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Lang is a language, as the lang attribute of HTML names it.
type Lang string

// The languages.
const (
	English Lang = "en"
	Chinese Lang = "zh-CN"
)

// Parse returns the language that a tag or a locale names, such as zh, zh_CN.UTF-8, zh-Hant
// or en-GB, and whether it names one. "C" and "POSIX" name none, and other languages are
// read in English.
func Parse(locale string) (_ Lang, named bool) {
	name, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(locale)), ".")
	name, _, _ = strings.Cut(name, "@")
	switch primary, _, _ := strings.Cut(strings.ReplaceAll(name, "-", "_"), "_"); primary {
	case "", "c", "posix":
		return English, false
	case "zh", "chinese", "cmn":
		return Chinese, true
	default:
		return English, true
	}
}

// variables name the language, the strongest first.
var variables = []string{"ZHONGKONG_LANG", "LC_ALL", "LC_MESSAGES", "LANG"}

// FromEnv returns the language of ZHONGKONG_LANG, else of the locale, and whether there is
// one. The first variable that is set decides, as in the C library.
func FromEnv(env func(name string) (string, bool)) (_ Lang, named bool) {
	for _, name := range variables {
		if value, _ := env(name); strings.TrimSpace(value) != "" {
			return Parse(value)
		}
	}
	return English, false
}

// System returns the language that a desktop is set to, for a process whose environment has
// no locale: usual on Windows, and on macOS outside a terminal. It may ask another program,
// for a second at most.
func System(env func(name string) (string, bool)) (_ Lang, named bool) {
	for _, name := range variables {
		if value, _ := env(name); strings.TrimSpace(value) != "" {
			return English, false // such as C, which somebody has chosen
		}
	}
	return Parse(system())
}

// Accepted returns the language of the two that a browser likes best, English when it likes
// neither.
func Accepted(r *http.Request) Lang {
	best, lang := 0.0, English
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, parameter, _ := strings.Cut(strings.TrimSpace(part), ";")
		quality := 1.0
		if q, found := strings.CutPrefix(strings.TrimSpace(parameter), "q="); found {
			parsed, err := strconv.ParseFloat(q, 64)
			if err != nil {
				continue
			}
			quality = parsed
		}
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if quality <= best {
			continue
		}
		switch primary {
		case "zh":
			best, lang = quality, Chinese
		case "en":
			best, lang = quality, English
		}
	}
	return lang
}

// Text is a text in both languages.
type Text struct{ EN, ZH string }

// Of formats both languages with the same arguments; %[1]s and so on reorder them.
func Of(en, zh string, args ...any) Text {
	if len(args) == 0 {
		return Text{en, zh}
	}
	return Text{fmt.Sprintf(en, args...), fmt.Sprintf(zh, args...)}
}

// In returns the text in a language.
func (t Text) In(l Lang) string {
	if l == Chinese {
		return t.ZH
	}
	return t.EN
}

// And puts a further sentence behind t.
func (t Text) And(more Text) Text {
	if t == (Text{}) || more == (Text{}) {
		return Text{t.EN + more.EN, t.ZH + more.ZH}
	}
	return Text{t.EN + " " + more.EN, t.ZH + " " + more.ZH}
}

// Join puts more behind t without a space.
func (t Text) Join(more Text) Text { return Text{t.EN + more.EN, t.ZH + more.ZH} }
