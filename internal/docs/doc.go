// Package docs checks the documentation: that links, anchors, commands, programs and
// paths in it are right, that each Chinese page follows its English one, and that
// no package imports a higher layer. It also makes what is generated:
//
//   - the import table (imports.txt) in docs/decisions/imports.md and .golangci.yml,
//   - the index of the decisions, docs/decisions/README.md,
//   - the error handbook, docs/errors.md and docs/errors.zh-CN.md,
//   - the parameters of stores' URLs (internal/storeurl) in docs/stores.md and docs/stores.zh-CN.md,
//   - the codes of log lines, docs/logs.md and docs/logs.zh-CN.md; their Chinese is in logs.txt.
//
// Only tests and the command in internal/docs/generate import it.
package docs

//go:generate go run ./generate ../..

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/internal/storeurl"
)

// Module is the path of the main module.
const Module = "github.com/zhongkong-go/zhongkong"

// Generate returns every generated file as it should be now, by its path from root,
// the top of the repository.
func Generate(root string) (map[string]string, error) {
	files, err := handbook()
	if err != nil {
		return nil, err
	}
	logs, err := logPages(root)
	if err != nil {
		return nil, err
	}
	maps.Copy(files, logs)
	table, err := Imports()
	if err != nil {
		return nil, err
	}
	index, err := decisions(os.DirFS(root))
	if err != nil {
		return nil, err
	}
	for name, block := range map[string]struct{ text, begin, end string }{
		"docs/decisions/imports.md": {table.markdown(), "<!-- imports:begin -->\n", "<!-- imports:end -->"},
		decisionsPage:               {index, "<!-- decisions:begin -->\n", "<!-- decisions:end -->"},
		".golangci.yml":             {table.depguard(), "# imports:begin\n", "        # imports:end"},
		"docs/stores.md":            {parameters(lang.English), "<!-- parameters:begin -->\n", "<!-- parameters:end -->"},
		"docs/stores.zh-CN.md":      {parameters(lang.Chinese), "<!-- parameters:begin -->\n", "<!-- parameters:end -->"},
	} {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		before, rest, begun := strings.Cut(string(data), block.begin)
		_, after, ended := strings.Cut(rest, block.end)
		if !begun || !ended {
			return nil, fmt.Errorf("%s has no lines %q and %q around what is generated", name, block.begin, block.end)
		}
		files[name] = before + block.begin + block.text + block.end + after
	}
	return files, nil
}

// parameters is the table of the parameters of stores' URLs.
func parameters(l lang.Lang) string {
	var b strings.Builder
	b.WriteString("\n" + lang.Of("| URL | Parameter | Meaning |", "| URL | 参数 | 含义 |").In(l) + "\n|---|---|---|\n")
	for _, e := range storeurl.Engines {
		for _, p := range e.Parameters {
			fmt.Fprintf(&b, "| `%s://` | `%s` | %s |\n", strings.Join(e.Schemes, "://`, `"), p.Example, lang.Text{EN: p.EN, ZH: p.ZH}.In(l))
		}
		if e.More {
			more := lang.Of("libpq's and the server's settings, such as `sslmode=verify-full`, `sslrootcert=`, `target_session_attrs=read-write`, `search_path=`",
				"libpq 的参数和服务器设置，例如 `sslmode=verify-full`、`sslrootcert=`、`target_session_attrs=read-write`、`search_path=`")
			fmt.Fprintf(&b, "| `%s://` | … | %s |\n", e.Schemes[0], more.In(l))
		}
	}
	b.WriteString("\n")
	return b.String()
}
