package errcode

import (
	"embed"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// unknown is what there is to say about a code that is not in the table.
var unknown = Info{
	Class:    Transient,
	Cause:    "WeChat answered a code that is not known here.",
	CauseZH:  "微信返回了未收录的错误码。",
	Remedy:   "Look it up in WeChat's documentation of this API; its console shows the call by its rid.",
	RemedyZH: "请查阅该接口的官方文档，也可以在后台用 rid 查询这次调用的详情。",
}

// files hold the codes, one entry after another. Their form is described in
// codes/shared.txt.
//
//go:embed codes/*.txt
var files embed.FS

var hosts = []struct {
	host Host
	file string
}{{API, "api"}, {WeCom, "qyapi"}, {Pages, "open"}}

// Where things are set, as WeChat's consoles name the way.
var (
	places = strings.NewReplacer(
		"{whitelist}", "微信公众平台 → 设置与开发 → 基本配置 (or 微信开发者平台) → IP白名单",
		"{console}", "微信公众平台 → 设置与开发 → 基本配置 (or 微信开发者平台)",
	)
	placesZH = strings.NewReplacer(
		"{whitelist}", "微信公众平台 → 设置与开发 → 基本配置（或微信开发者平台）→ IP白名单",
		"{console}", "微信公众平台 → 设置与开发 → 基本配置（或微信开发者平台）",
	)
)

// tables reads the files when a code is first asked for. A file that cannot be read
// is a mistake of this package's, which its tests find.
var tables = sync.OnceValue(func() map[Host][]Info {
	shared := make(map[string][2]string)
	for _, lines := range entries("shared") {
		shared[lines[0]] = [2]string{lines[1], lines[2]}
	}
	all := make(map[Host][]Info, len(hosts))
	for _, h := range hosts {
		for _, lines := range entries(h.file) {
			all[h.host] = append(all[h.host], read(h.host, lines, shared))
		}
	}
	return all
})

// entries returns the lines of each entry of a file.
func entries(name string) (all [][]string) {
	content, err := files.ReadFile("codes/" + name + ".txt")
	if err != nil {
		panic(err)
	}
	var lines []string
	for line := range strings.Lines(string(content) + "\n\n") {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line != "" && line[0] != '#':
			lines = append(lines, line)
		case line == "" && len(lines) > 0:
			all, lines = append(all, lines), nil
		}
	}
	return all
}

// read makes an Info of an entry's lines.
func read(host Host, lines []string, shared map[string][2]string) Info {
	if len(lines) == 5 {
		remedy, known := shared[lines[4]]
		if !known {
			panic(fmt.Sprintf("errcode: %q has no remedy %s", lines[0], lines[4]))
		}
		lines = append(lines[:4:4], remedy[0], remedy[1])
	}
	if len(lines) != 6 {
		panic(fmt.Sprintf("errcode: %q has %d lines", lines[0], len(lines)))
	}
	info := Info{
		Host: host, Class: Call, Text: lines[1],
		Cause: places.Replace(lines[2]), CauseZH: placesZH.Replace(lines[3]),
		Remedy: places.Replace(lines[4]), RemedyZH: placesZH.Replace(lines[5]),
	}
	if info.Text == "-" {
		info.Text = ""
	}
	head := strings.Fields(lines[0])
	code, err := strconv.Atoi(head[0])
	if err != nil {
		panic(err)
	}
	info.Code, info.Source = code, Source(head[len(head)-1])
	for _, word := range head[1 : len(head)-1] {
		if word == "per-host" {
			info.PerHost = true
		} else if retry, err := time.ParseDuration(word); err == nil {
			info.Retry = retry
		} else {
			info.Class = Class(word)
		}
	}
	return info
}
