package markdown_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zhongkong-go/zhongkong/internal/docs/markdown"
)

const page = "# The *gateway*: `中控服务器`\n" +
	"See [stores](stores.md#what-it-costs), [![a picture](images/a.png)](b.md \"title\") and `[no](link.md)`.\n" +
	"\n" +
	"## What it costs\n" +
	"```sh\n" +
	"# no heading [nor](link.md)\n" +
	"```\n" +
	"## What it costs\n" +
	"<img src=\"images/c.png\" alt=\"[x](y)\">\n" +
	"* in a list\n" +
	"  ````go\n" +
	"  a := \"```\"\n" +
	"  ```\n" +
	"  ````\n" +
	"### 常见问题：40001（`invalid credential`）\n" +
	"~~~\n" +
	"not closed\n"

func TestParse(t *testing.T) {
	want := markdown.Page{
		Headings: []markdown.Heading{
			{1, 1, "The *gateway*: `中控服务器`", "the-gateway-中控服务器"},
			{4, 2, "What it costs", "what-it-costs"},
			{8, 2, "What it costs", "what-it-costs-1"},
			{15, 3, "常见问题：40001（`invalid credential`）", "常见问题40001invalid-credential"},
		},
		Links: []markdown.Link{{2, "stores.md#what-it-costs"}, {2, "images/a.png"}, {2, "b.md"}, {9, "y"}, {9, "images/c.png"}},
		Blocks: []markdown.Block{
			{6, "sh", "# no heading [nor](link.md)\n"},
			{12, "go", "  a := \"```\"\n  ```\n"},
			{17, "", "not closed\n"},
		},
	}
	if got := markdown.Parse(page); !reflect.DeepEqual(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

// TestAnchor has anchors as GitHub's pages have them.
func TestAnchor(t *testing.T) {
	for heading, want := range map[string]string{
		"In one minute":                       "in-one-minute",
		"What must never happen?":             "what-must-never-happen",
		"C++ & Go":                            "c--go",
		"`ErrStore`: the store is away":       "errstore-the-store-is-away",
		"40164 · invalid ip not in whitelist": "40164--invalid-ip-not-in-whitelist",
		"-1":                                  "-1",
		"从 silenceper 迁移（Go）":                 "从-silenceper-迁移go",
		"一、安装，运行":                             "一安装运行",
		"[A link](x.md) in it":                "a-link-in-it",
		"snake_case":                          "snake_case",
	} {
		if got := markdown.Anchor(heading); got != want {
			t.Errorf("Anchor(%q) = %q, want %q", heading, got, want)
		}
	}
}
