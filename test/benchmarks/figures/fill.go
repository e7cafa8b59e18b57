package figures

import (
	"fmt"
	"strings"
)

// The lines around what is made here. The first one goes on with the name of a
// block and a language.
const (
	begin = "<!-- bench:begin "
	end   = "<!-- bench:end -->"
)

// block is what a file shows of the result.
type block struct {
	columns []string // by name; nil means all
	rows    []shown
	foot    map[string]string // by language: below the table, with date and machine
}

// shown is a row under a shorter name.
type shown struct {
	id    string
	title map[string]string // by language
}

// blocks are all there are, by name.
var blocks = map[string]block{
	// For a reader with five minutes: what a token costs, and the five things that
	// go wrong with WeChat's tokens.
	"readme": {
		rows: []shown{
			{"current", map[string]string{
				"en": "a token, while it lives",
				"zh": "取一次有效的 token",
			}},
			{"superseded", map[string]string{
				"en": "another program fetched: of 200 calls failed; tokens fetched",
				"zh": "token 被别的程序顶掉：200 次调用失败几次；重新获取几次",
			}},
			{"renewal", map[string]string{
				"en": "a renewal takes 1 s, 100 callers: how many waited; tokens fetched",
				"zh": "刷新耗时 1 秒、100 个调用方：多少个被卡住；获取几次",
			}},
			{"restarts", map[string]string{
				"en": "ten restarts: tokens fetched; time of each",
				"zh": "重启 10 次：获取几次 token；每次耗时",
			}},
			{"store-down", map[string]string{
				"en": "Redis dies, the token lives: calls failed; tokens fetched per call; time per call",
				"zh": "token 有效但 Redis 宕机：调用失败率；平均每次调用获取几次 token；每次调用耗时",
			}},
			{"wrong-secret", map[string]string{
				"en": "wrong AppSecret, 1,000 calls: requests to WeChat; time per call",
				"zh": "AppSecret 填错、调用 1000 次：请求微信几次；每次调用耗时",
			}},
		},
		foot: map[string]string{
			"en": "In **bold** where a peer is better than zhongkong. %s, %s; all rows, versions and reasons are in [test/benchmarks/RESULT.md](test/benchmarks/RESULT.md), made by `make bench-peers`.",
			"zh": "**加粗**表示优于 zhongkong。%s，%s；全部项目、版本和原因见 [test/benchmarks/RESULT.md](test/benchmarks/RESULT.md)，由 `make bench-peers` 生成。",
		},
	},
	"gateway": {
		columns: []string{Floor, Ours},
		rows: []shown{
			{"proxy-get", map[string]string{
				"en": "proxy, GET, 4 callers: time per call; p99",
				"zh": "代理，GET，4 个调用方：每次调用耗时；p99",
			}},
			{"proxy-post", map[string]string{
				"en": "proxy, POST of 2 KiB: the same",
				"zh": "代理，POST 2 KiB：同上",
			}},
			{"proxy-allocations", map[string]string{
				"en": "proxy: allocations a call",
				"zh": "代理：每次调用的内存分配次数",
			}},
			{"token-endpoint", map[string]string{
				"en": "token endpoint, 4 callers: time per call; p99",
				"zh": "token 接口，4 个调用方：每次调用耗时；p99",
			}},
		},
		foot: map[string]string{
			"en": "The floor is a bare `httputil.ReverseProxy` with a `BufferPool`, and a handler that writes the same bytes. %s, %s, callers and WeChat's stand-in on the same machine; made by `make bench-peers`.",
			"zh": "下限（floor）分别是一个带 `BufferPool`、此外什么都不做的 `httputil.ReverseProxy`，和一个直接写出同样字节的处理函数。%s，%s，调用方与模拟的微信在同一台机器上；由 `make bench-peers` 生成。",
		},
	},
	"stores": {
		columns: []string{Ours},
		rows: []shown{
			{"store-calls", map[string]string{
				"en": "calls of the store: a token while it lives; start of a process; a renewal",
				"zh": "存储调用次数：取有效的 token；进程启动；刷新一次",
			}},
			{"round-trips", map[string]string{
				"en": "round trips to Redis for the same",
				"zh": "同样三件事与 Redis 的往返次数",
			}},
		},
		foot: map[string]string{
			"en": "Counted, %s, %s; made by `make bench-peers`.",
			"zh": "以上为实际计数，%s，%s；由 `make bench-peers` 生成。",
		},
	},
}

// Files are those that show figures, from the repository's root.
var Files = []string{
	"README.md", "README.zh-CN.md", "docs/gateway.md", "docs/gateway.zh-CN.md", "docs/stores.md", "docs/stores.zh-CN.md",
}

// Fill returns a Markdown file's text with the result in all of its blocks, and
// how many those are.
func (r *Result) Fill(text string) (filled string, n int, err error) {
	var s strings.Builder
	for {
		before, rest, found := strings.Cut(text, begin)
		s.WriteString(before)
		if !found {
			return s.String(), n, nil
		}
		name, rest, _ := strings.Cut(rest, " -->\n")
		_, after, ended := strings.Cut(rest, end)
		if !ended {
			return "", 0, fmt.Errorf("figures: %s%s has no %s", begin, name, end)
		}
		made, err := r.block(name)
		if err != nil {
			return "", 0, err
		}
		s.WriteString(begin + name + " -->\n" + made + end)
		text = after
		n++
	}
}

// block returns what stands in the block of a name and a language, such as
// "readme en".
func (r *Result) block(of string) (string, error) {
	name, language, _ := strings.Cut(of, " ")
	b, ok := blocks[name]
	if !ok || b.foot[language] == "" {
		return "", fmt.Errorf("figures: there is no block %q", of)
	}
	columns := b.columns
	if columns == nil {
		columns = r.names()
	}
	var lines [][]string
	for _, row := range b.rows {
		recorded, err := r.Row(row.id)
		if err != nil {
			return "", err
		}
		lines = append(lines, r.line(row.title[language], recorded, columns, false))
	}
	var header []string
	for _, name := range columns {
		if name == Floor && language == "zh" {
			name = "下限"
		}
		header = append(header, name)
	}
	var s strings.Builder
	s.WriteString("\n") // Markdown reads no table right below a comment
	table(&s, header, lines)
	s.WriteString("\n" + fmt.Sprintf(b.foot[language], r.Date, r.Machine) + "\n")
	return s.String(), nil
}
