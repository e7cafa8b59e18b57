package docs

import (
	"cmp"
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// logKey is the attribute that names a log line for programs.
const logKey = "log_code"

// products are the middlewares that share middleware/internal/door, where a code without its
// first word is of each.
var products = []string{"wechat", "wecom"}

// LogCall is a call that may log at Warn or Error.
type LogCall struct {
	Where   string // file:line
	Package string
	Level   string // warn, error, or both
	Code    string // "" where it has none
	Message string // "" where it is no literal
}

// LogCalls returns the calls of product code that may log at Warn or Error, in the order of
// their codes.
func LogCalls(root string) ([]LogCall, error) {
	var all []LogCall
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if base := path.Base(name); name != "." && strings.HasPrefix(base, ".") || base == "testdata" ||
				slices.Contains([]string{"test", "examples", "internal/test", "internal/docs", "store/storetest"}, name) {
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		calls, err := logCalls(root, name)
		all = append(all, calls...)
		return err
	})
	slices.SortStableFunc(all, func(a, b LogCall) int { return cmp.Compare(a.Code, b.Code) })
	return all, err
}

func logCalls(root, name string) (all []LogCall, err error) {
	text, err := fs.ReadFile(os.DirFS(root), name)
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, 0)
	if err != nil {
		return nil, err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		level, message := logged(call)
		if level == "" {
			return true
		}
		at := set.Position(call.Pos())
		c := LogCall{Where: fmt.Sprintf("%s:%d", name, at.Line), Package: path.Dir(name), Level: level, Code: codeIn(call)}
		if text, whole := literal(message); whole {
			c.Message = text
		}
		if !strings.HasPrefix(c.Code, "_") {
			all = append(all, c)
			return true
		}
		for _, product := range products { // the code is put together at run time
			c := c
			c.Code = product + c.Code
			all = append(all, c)
		}
		return true
	})
	return all, nil
}

// logged returns the level of a call that logs at Warn, at Error or at a level that is decided
// at run time, and its message; "" for any other call.
func logged(call *ast.CallExpr) (level string, message ast.Expr) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", nil
	}
	if of, ok := method.X.(*ast.Ident); ok && slices.Contains([]string{"http", "t", "tb", "f", "errors"}, of.Name) {
		return "", nil // http.Error, and the tests' own
	}
	name, context := strings.CutSuffix(method.Sel.Name, "Context")
	at := 0
	if context {
		at = 1
	}
	switch name {
	case "Warn", "Error":
		level = strings.ToLower(name)
	case "Log", "LogAttrs":
		if len(call.Args) < 3 {
			return "", nil
		}
		at, level = 2, "warn, error"
		if constant, ok := call.Args[1].(*ast.SelectorExpr); ok {
			level = strings.ToLower(strings.TrimPrefix(constant.Sel.Name, "Level"))
		}
		if level == "debug" || level == "info" {
			return "", nil
		}
	default:
		return "", nil
	}
	if len(call.Args) <= at {
		return "", nil
	}
	return level, call.Args[at]
}

// codeIn returns the code among the arguments of a call: what is behind the key.
func codeIn(call *ast.CallExpr) (code string) {
	var before string
	ast.Inspect(call, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, _ := strconv.Unquote(lit.Value)
			if before == logKey {
				code = text
			}
			before = text
		}
		return true
	})
	return code
}

// literal returns a text that consists of literals.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		left, l := literal(e.X)
		right, r := literal(e.Y)
		return left + right, l && r
	default:
		return "", false
	}
}

// logTexts has the Chinese of every code, a line each: code, a tab, the text; and behind
// another tab the English one, where the code has no literal message.
//
//go:embed logs.txt
var logTexts string

type logText struct{ zh, en string }

func readLogTexts() map[string]logText {
	all := map[string]logText{}
	for line := range strings.Lines(logTexts) {
		fields := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if strings.HasPrefix(line, "#") || len(fields) < 2 {
			continue
		}
		text := logText{zh: fields[1]}
		if len(fields) > 2 {
			text.en = fields[2]
		}
		all[fields[0]] = text
	}
	return all
}

const logsEnglish = `# Log lines

[中文](logs.zh-CN.md)

What a program on zhongkong logs at Warn and Error. Messages are English in every language and may be reworded; ` + "`log_code`" + ` stays,
and is what an alert rule should look for: one code for one place in the code. In the text format it reads ` + "`log_code=custody_no_new_token`" + `,
in JSON ` + "`\"log_code\":\"custody_no_new_token\"`" + `. The first word is the package. Lines at Info and Debug have no code.

| log_code | level | message |
|---|---|---|
`

const logsChinese = `# 日志

[English](logs.md)

使用 zhongkong 的程序在 Warn 和 Error 级别输出的日志。日志内容始终为英文，措辞可能调整；` + "`log_code`" + ` 保持不变，告警规则应当以它为准：
每个 code 对应代码中的一处。文本格式为 ` + "`log_code=custody_no_new_token`" + `，JSON 格式为 ` + "`\"log_code\":\"custody_no_new_token\"`" + `。
第一个单词是包名。Info 和 Debug 级别的日志没有 code。

| log_code | 级别 | 含义 |
|---|---|---|
`

var address = regexp.MustCompile(`https?://[^\s,;]+`)

// logPages renders the list of codes, by the names of the pages.
func logPages(root string) (map[string]string, error) {
	calls, err := LogCalls(root)
	if err != nil {
		return nil, err
	}
	texts := readLogTexts()
	var en, zh strings.Builder
	en.WriteString(logsEnglish)
	zh.WriteString(logsChinese)
	for _, c := range calls {
		if c.Code == "" {
			continue
		}
		text := texts[c.Code]
		message := cmp.Or(c.Message, text.en)
		cell := func(s string) string {
			s = strings.ReplaceAll(prose(strings.TrimPrefix(s, "wechat: ")), "|", `\|`)
			return address.ReplaceAllString(s, "`$0`") // an example, and no link
		}
		fmt.Fprintf(&en, "| `%s` | %s | %s |\n", c.Code, c.Level, cell(message))
		fmt.Fprintf(&zh, "| `%s` | %s | %s |\n", c.Code, c.Level, cell(text.zh))
	}
	return map[string]string{"docs/logs.md": en.String(), "docs/logs.zh-CN.md": zh.String()}, nil
}
