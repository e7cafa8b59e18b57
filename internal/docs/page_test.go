package docs_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zhongkong-go/zhongkong/internal/docs"
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
	"\n" +
	"* in a list\n" +
	"  ````go\n" +
	"  a := \"```\"\n" +
	"  ```\n" +
	"  ````\n" +
	"\n" +
	"### [A link](x.md) in 常见问题：40001（`invalid credential`）\n" +
	"\n" +
	"| a | table |\n" +
	"|---|---|\n" +
	"| with | [a link](d.md) |\n" +
	"| and | <https://semver.org/> |\n" +
	"\n" +
	"~~~\n" +
	"not closed\n"

func TestParse(t *testing.T) {
	want := docs.Page{
		Headings: []docs.Heading{
			{1, 1, "The gateway: 中控服务器", "the-gateway-中控服务器"},
			{4, 2, "What it costs", "what-it-costs"},
			{8, 2, "What it costs", "what-it-costs-1"},
			{17, 3, "A link in 常见问题：40001（invalid credential）", "a-link-in-常见问题40001invalid-credential"},
		},
		Links: []docs.Link{
			{2, "stores.md#what-it-costs"}, {2, "b.md"}, {2, "images/a.png"}, {9, "images/c.png"}, {17, "x.md"}, {21, "d.md"}, {22, "https://semver.org/"},
		},
		Blocks: []docs.Block{
			{6, "sh", "# no heading [nor](link.md)\n"},
			{13, "go", "a := \"```\"\n```\n"},
			{25, "", "not closed\n"},
		},
	}
	if got := docs.Parse(page); !reflect.DeepEqual(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

// TestAnchor compares with anchors of pages on GitHub.
func TestAnchor(t *testing.T) {
	for heading, want := range map[string]string{
		"In one minute":                       "in-one-minute",
		"What must never happen?":             "what-must-never-happen",
		"C++ & Go":                            "c--go",
		"ErrStore: the store is away":         "errstore-the-store-is-away",
		"40164 · invalid ip not in whitelist": "40164--invalid-ip-not-in-whitelist",
		"-1":                                  "-1",
		"从 silenceper 迁移（Go）":                 "从-silenceper-迁移go",
		"一、安装，运行":                             "一安装运行",
		"snake_case":                          "snake_case",
	} {
		if got := docs.Anchor(heading); got != want {
			t.Errorf("Anchor(%q) = %q, want %q", heading, got, want)
		}
	}
}
