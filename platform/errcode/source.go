package errcode

// Source says where a code is known from. The sentences about it are our own.
type Source string

// The sources.
const (
	Wire         Source = "wire"        // an answer that somebody captured
	Doc          Source = "doc"         // the documentation page of the API
	AccountTable Source = "mp"          // WeChat's table for official accounts (公众平台全局返回码)
	OpenTable    Source = "open"        // its table for the Open Platform (开放平台全局返回码), which covers all accounts
	MiniPages    Source = "ma"          // the pages of mini programs' APIs, as SDKs list them
	WeComTable   Source = "wecom"       // WeCom's table (企业微信全局错误码)
	Unconfirmed  Source = "UNCONFIRMED" // nothing that is good enough
)

var sources = map[Source][2]string{
	Wire:         {"an answer that was captured", "实际返回"},
	Doc:          {"WeChat's documentation of the API", "接口文档"},
	AccountTable: {"WeChat's table of return codes (公众平台全局返回码)", "公众平台全局返回码"},
	OpenTable:    {"WeChat's table of return codes (开放平台全局返回码)", "开放平台全局返回码"},
	MiniPages:    {"WeChat's documentation of mini programs, as SDKs list it", "小程序接口文档（据 SDK 整理）"},
	WeComTable:   {"WeCom's table of error codes (企业微信全局错误码)", "企业微信全局错误码"},
	Unconfirmed:  {"UNCONFIRMED: no source that is good enough", "未经证实"},
}

// Words says in English what the source is.
func (s Source) Words() string { return sources[s][0] }

// WordsZH is Words in Chinese.
func (s Source) WordsZH() string { return sources[s][1] }
