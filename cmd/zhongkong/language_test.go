package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"unicode"

	"github.com/alecthomas/kong"

	"github.com/zhongkong-go/zhongkong/internal/lang"
)

// english is a run of words that only a sentence has.
var english = regexp.MustCompile(`[a-z]{2,}( [a-z]+){3}`)

func hasChinese(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

// TestHelpInBothLanguages: every text of kong's model has its Chinese, and what --help prints
// of every command has no sentence of the other language.
func TestHelpInBothLanguages(t *testing.T) {
	parser, err := kong.New(new(commands), kong.Name("zhongkong"), kong.Description(description), kong.Vars{"version": ""})
	if err != nil {
		t.Fatal(err)
	}
	texts := 0
	walk(parser.Model, func(text *string) {
		if *text == "" {
			return
		}
		texts++
		if zh := dictionary().Format(*text); !hasChinese(zh) && zh != "" {
			t.Errorf("there is no Chinese for this help text (helpWords): %q", *text)
		}
	})
	if texts < 80 {
		t.Errorf("the model has %d texts only", texts)
	}
	pages := [][]string{{}}
	for _, leaf := range parser.Model.Leaves(false) {
		pages = append(pages, strings.Fields(leaf.Path()))
	}
	pages = append(pages, [][]string{{"token"}, {"client"}, {"doctor"}}...)
	for _, command := range pages {
		languages := [][]string{{"ZHONGKONG_LANG", "zh"}, {"LANG", "en_US.UTF-8"}}
		if len(command) == 0 {
			languages = append(languages, []string{"LANG", "zh_CN.UTF-8"}, []string{"--lang", "zh"}, []string{"LC_ALL", "C"})
		}
		for _, with := range languages {
			args, env := append(slices.Clone(command), "--help"), map[string]string{}
			if with[0] == "--lang" {
				args = append(args, with...)
			} else {
				env[with[0]] = with[1]
			}
			code, out, errs := started(t.Context(), env, args...)
			if code != exitOK || errs != "" {
				t.Fatalf("%q: %d %s", args, code, errs)
			}
			chinese := strings.HasPrefix(out, "用法：")
			if chinese != strings.HasPrefix(with[1], "zh") {
				t.Errorf("%q with %q is in the other language:\n%s", args, with, out)
			}
			for line := range strings.Lines(out) {
				if chinese && english.MatchString(strings.NewReplacer("zhongkong ", "", "openssl rand -base64 32", "").Replace(line)) {
					t.Errorf("%q: in English still: %s", args, line)
				}
				if chinese && width(strings.TrimRight(line, "\n")) > columns && !strings.HasPrefix(line, "  zhongkong ") {
					t.Errorf("%q: wider than %d columns: %s", args, columns, line)
				}
				if !chinese && hasChinese(strings.NewReplacer("中控服务器", "", "中控", "", "你好", "").Replace(line)) {
					t.Errorf("%q: Chinese in English: %s", args, line)
				}
			}
		}
	}
}

// unsaid are literals of the commands that are no texts for people, or are the same in both
// languages.
var unsaid = []string{
	"export ", "not needed", "command ", "GET /metrics", "Bearer %s", "command %s@%s", " rid: ", "zhongkong: %s\n", "--ticket ", "errcode 0 is success.", "errcode %d is not known here: look in WeChat's page of the API that answered it, and at its errmsg.", "errcode %d depends on the host; --host chooses one.",
	"/cgi-bin/token, /cgi-bin/stable_token", "the CallbackURL of \\S+: ", "Options.Accounts: ", "there is no message", "zhongkong push list",
	"export %s=%s", "$env:%s = \"%s\"", "$APPID = \"%s\"\n$KEY = \"%s\"\n", "zhongkong token refresh --force", "zhongkong token refresh --ticket %s --force", "simulator: Options.Accounts: ",
	"--account %s: %v", "%s%s_KIND: %v", "--log: %v", "--log: %s", "--app: ", "--app %s", "--env-file: %v", "admin.key: %w", "admin.listen: %w",
	"WECHAT_TOKEN_API: %w", "its port", "waiting for ", "zhongkong %s", "commit %s", "with cgo: SQLite in C", "without cgo: SQLite in Go",
	"zhongkong %s\n", "commit %s\n", "remote error",
	"token fetch", "token fetches", "API call", "API calls", // count puts a number in front
	"What to do", "%s Run it again when that is done.", "%s %s to look at.", "There is no problem;", "All is well.", // the chart has both
}

var words = regexp.MustCompile(`[A-Za-z]{2,}`)

// TestTextsOfCommands: each text that a command prints has its Chinese. A literal with a space
// in it is taken for one; what + puts together is one text, with %s for the rest.
func TestTextsOfCommands(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "words.go" {
			continue
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		texts(parsed, func(at token.Pos, text string) {
			if !words.MatchString(text) || !strings.Contains(strings.TrimSpace(text), " ") || hasChinese(text) && !english.MatchString(text) {
				return
			}
			found++
			known := dictionary().Has(text) || dictionary().Has(strings.TrimSuffix(text, ": ")) || dictionary().In(lang.Chinese, text) != text
			if !known && !slices.Contains(unsaid, text) && !strings.Contains(text, "curl ") {
				t.Errorf("%v: there is no Chinese for this text (chinese): %q", set.Position(at), text)
			}
		})
	}
	if found < 150 {
		t.Errorf("%d texts were found only", found)
	}
}

// texts gives each the texts of a file: no import, tag, log line, or text of Help, which is in
// kong's model.
func texts(file *ast.File, each func(at token.Pos, text string)) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec, *ast.StructType:
			return false
		case *ast.FuncDecl:
			return n.Name.Name != "Help"
		case *ast.CallExpr:
			s, ok := n.Fun.(*ast.SelectorExpr)
			return !ok || !slices.Contains([]string{"Warn", "Error", "Info", "Debug"}, s.Sel.Name) || len(n.Args) == 0
		case *ast.BinaryExpr, *ast.BasicLit:
			if text, ok := put(n.(ast.Expr)); ok {
				each(n.Pos(), text)
				return false
			}
		}
		return true
	})
}

// put returns the text that an expression puts together, if there is a literal in it.
func put(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, l := put(e.X)
		right, r := put(e.Y)
		return left + right, e.Op == token.ADD && (l || r)
	default:
		return "%s", false
	}
}

// spoken are the packages whose errors reach people by commands and pages, all of them.
var spoken = []string{
	"internal/weblogin", "internal/shape", "internal/network", "internal/environ", "gateway", "gateway/clients", "gateway/fanout", "gateway/journal",
	"gateway/source", "store/open", "store/sqlite", "migrations", "cmd/zhongkong/internal/doctor",
	"internal/storeurl", "platform", "platform/wecom", "custody", "simulator", "simulator/chat", "callback", "gateway/login",
	"middleware/internal/door", "middleware/wechat", "middleware/wecom",
}

// inFront puts names in front of what another package says, which is looked up by itself.
var inFront = regexp.MustCompile(`^(?:[a-zA-Z_.]+(?:\[%[dq]\])?(?:\.%s| is %q| %s|%s)?:?|journal:) %w$`)

// TestErrorsOfPackages: each error of a package that people meet has its Chinese.
func TestErrorsOfPackages(t *testing.T) {
	speaker := regexp.MustCompile(`^(?:zhongkong|gateway|wechat|wecom|platform|source|weblogin|login|custody|simulator|callback|chat): `)
	found := 0
	for _, folder := range spoken {
		files, err := filepath.Glob(filepath.Join("../..", folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", folder, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			parsed, err := parser.ParseFile(set, file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			faults(parsed, func(at token.Pos, text string) {
				text = speaker.ReplaceAllString(text, "")
				if !words.MatchString(text) || !strings.Contains(strings.TrimSpace(text), " ") || inFront.MatchString(text) {
					return
				}
				found++
				if !dictionary().Has(text) && dictionary().In(lang.Chinese, text) == text {
					t.Errorf("%v: there is no Chinese for this error (internal/lang, Sentences): %q", set.Position(at), text)
				}
			})
		}
	}
	if found < 380 {
		t.Errorf("%d errors were found only", found)
	}
}

// faults gives each the texts of the errors that a file makes.
func faults(file *ast.File, each func(at token.Pos, text string)) {
	makers := map[string]int{"errors.New": 0, "fmt.Errorf": 0, "named.Errorf": 1} // where the text is among the arguments
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		s, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := s.X.(*ast.Ident)
		if !ok {
			return true
		}
		i, makes := makers[pkg.Name+"."+s.Sel.Name]
		if !makes || i >= len(call.Args) {
			return true
		}
		if text, ok := put(call.Args[i]); ok {
			each(call.Pos(), text)
		}
		return true
	})
}

// assembled are parts of texts that the code puts together, or that another module says.
var assembled = []string{
	"deliveries went wrong (", "deliveries went wrong (each time", "delivery went wrong (each time", "jsapi_ticket of",
	"the app answered success to delivery", "the app replied with image", "the app replied with news", "the app replied with text",
	"the app replied with voice", "the app replied with video", "the app replied with music", "the app replied with text to delivery",
	"the app replied with news to delivery", "the app replied with image to delivery", "the app replied with voice to delivery",
	"the app replied with video to delivery", "the app replied with music to delivery", "the app answered with an empty body to delivery",
	"the message goes to the customer service to delivery", "the app refused the signature attack", "the app refused the replay attack",
	"the app refused the stale attack", "the app refused the tampered attack", "the app refused the appid attack",
	"the app refused the plaintext attack", "push in plain mode", "push in compatible mode", "push in safe mode",
	"the gateway refuses", "unknown field", "1 token fetch",
}

// TestNothingIsTranslatedInVain: what the dictionaries have is still said somewhere.
func TestNothingIsTranslatedInVain(t *testing.T) {
	var source strings.Builder
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (path == "test" || path == "examples" || strings.HasPrefix(path, ".") && path != "."):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
			path == "cmd/zhongkong/words.go" || strings.HasPrefix(path, "internal/lang/"):
			return nil
		}
		text, err := fs.ReadFile(root, path)
		source.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	all := strings.NewReplacer(`\"`, `"`, `\n`, "\n").Replace(source.String())
	pieces := regexp.MustCompile(`%(\[\d\])?[-0-9.]*[a-z]|: |\. |; |, |\n`)
	for _, words := range []lang.Words{lang.Sentences, chinese} {
		for _, text := range slices.Sorted(maps.Keys(words)) {
			for _, piece := range pieces.Split(text, -1) {
				piece = strings.TrimSuffix(strings.Trim(piece, " "), ".")
				if len(piece) > 12 && !slices.Contains(assembled, piece) && !strings.Contains(all, piece) {
					t.Errorf("nobody says %q any more, of %q", piece, text)
				}
			}
		}
	}
}

// TestErrorsInChinese: what goes wrong is said in Chinese, whichever package says it, with the
// meaning of what the system says.
func TestErrorsInChinese(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	missing := filepath.Join(t.TempDir(), "no", "zhongkong.db")
	for _, row := range []struct {
		args string
		env  map[string]string
		want []string
	}{
		{"push", account, []string{"缺少 \"<type>\"；用法见 zhongkong --help"}},
		{"push text --no-such-flag", account, []string{"没有选项 --no-such-flag"}},
		{"push text --too http://x", account, []string{"没有选项 --too，是否想写"}},
		{"serve now", account, []string{"多余的参数 now"}},
		{"push nonsense --to http://127.0.0.1:1", account, []string{`没有 "nonsense" 这种消息；zhongkong push list 可列出全部`}},
		{"push text", account, []string{"缺少 --to：请填写应用的回调地址"}},
		{"push text --wait 0s --to http://x", account, []string{"--wait 0s：必须大于零"}},
		{"push text --wait soon --to http://x", account, []string{"--wait：应为时长"}},
		{"push text --to http://x", with("WECHAT_TOKEN", ""), []string{"没有设置 WECHAT_TOKEN：即应用验证签名用的 Token：zhongkong simulate 会打印它"}},
		{"push raw /no/such/file --to http://x", account, []string{"无法读取消息：open /no/such/file: no such file or directory（没有这个文件或目录"}},
		{"push text --account /no/such/file --to http://x", account, []string{"既不是 WECHAT 这样的名称，也不是可读的文件"}},
		{"push text --to nowhere", account, []string{`推送地址："nowhere" 须以 http:// 或 https:// 加主机名开头`}},
		{"simulate --listen " + taken.Addr().String(), nil, []string{"无法监听 ", "address already in use（端口已被其他程序占用：请停止该程序，或换一个端口）。请换一个地址"}},
		{"simulate --life 1ms", nil, []string{"--life 的值是 1ms：须为整数秒，至少一秒"}},
		{"token status", nil, []string{"没有设置 Config.AppID（WECHAT_APPID）：请从公众平台复制"}},
		{
			"token status",
			map[string]string{"WECHAT_APPID": "0123456789abcdef0123456789abcdef", "WECHAT_APPSECRET": "wx0123456789abcdef"},
			[]string{"似乎填反了：前者看起来是 AppSecret（32 位十六进制）；请对调"},
		},
		{"token status", with("WECHAT_API_BASE", "https://wx.example.com/a/../b"), []string{"Config.APIBase（WECHAT_API_BASE）的路径不能含有 . 或 .."}},
		{"token status", with("ZHONGKONG_STORE", "mysql://u:p@127.0.0.1/app?charset=utf8"), []string{"MySQL 存储：URL 有不存在的参数"}},
		{"token status", with("ZHONGKONG_STORE", "memory:"), []string{"不与其他程序共享"}},
		{"token status", with("ZHONGKONG_STORE", "sqlite:"+missing), []string{"没有数据库 " + missing}},
		{"token status", with("ZHONGKONG_STORE", "oracle:x"), []string{"没有 oracle"}},
		{
			"token get",
			map[string]string{
				"WECHAT_APPID": "wx0123456789abcdef", "ZHONGKONG_GATEWAY": "http://" + gone.Addr().String(),
				"ZHONGKONG_GATEWAY_KEY": "zkkey_" + strings.Repeat("a", 56),
			},
			[]string{"connection refused（该地址没有程序在监听：请确认对方已启动，端口没有写错）", "后重试"},
		},
		{"serve", nil, []string{"没有账号：请指定 --config FILE"}},
		{"serve", with(), []string{"没有设置 ZHONGKONG_SEAL_KEY：token 会以明文存放"}},
		{"serve --config /no/such/file", nil, []string{"无法读取配置：open /no/such/file: no such file or directory（没有这个文件或目录"}},
		{"client add shop", nil, []string{"缺少选项：--account=APPID,..."}},
		{"client add a/b --account wx1 --store sqlite:" + filepath.Join(t.TempDir(), "a.db"), nil, []string{"客户端名称 \"a/b\" 须为 1 到 64 位"}},
		{"client rotate shop --grace=-1h", nil, []string{"--grace -1h0m0s：不能为负"}},
		{"migrate sideways", nil, []string{"只能是"}},
		{"explain forty", nil, []string{`"forty" 不是 errcode`}},
	} {
		env := maps.Clone(row.env)
		if env == nil {
			env = map[string]string{}
		}
		env["ZHONGKONG_LANG"] = "zh"
		code, _, errs := started(t.Context(), env, strings.Fields(row.args)...)
		for _, want := range row.want {
			if !strings.Contains(errs, want) {
				t.Errorf("%s: no %q in\n%s", row.args, want, errs)
			}
		}
		if code == exitOK || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: exit code %d, want one line of error: %s", row.args, code, errs)
		}
		checkSecrets(t, errs)
	}
}

// TestCommandsInChinese: what push and the doctor say of an app has no English in it.
func TestCommandsInChinese(t *testing.T) {
	t.Parallel()
	env := with("ZHONGKONG_LANG", "zh")
	busy := atomic.Int64{}
	app := botApp(t, env["WECHAT_TOKEN"], env["WECHAT_AES_KEY"], env["WECHAT_APPID"])
	mux := http.NewServeMux()
	mux.Handle("/", app)
	mux.HandleFunc("/late", func(w http.ResponseWriter, r *http.Request) {
		if busy.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.URL.Path = "/"
		app.ServeHTTP(w, r)
	})
	mux.HandleFunc("/no", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	mux.HandleFunc("/picture", func(w http.ResponseWriter, r *http.Request) {
		names := regexp.MustCompile(`(?s)<ToUserName>.*</FromUserName>`)
		body, _ := io.ReadAll(r.Body)
		swapped := strings.NewReplacer("ToUserName", "FromUserName", "FromUserName", "ToUserName").Replace(names.FindString(string(body)))
		_, _ = io.WriteString(w, "<xml>"+swapped+"<CreateTime>1</CreateTime><MsgType>image</MsgType><Image><MediaId>m1</MediaId></Image></xml>")
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, row := range []struct {
		args string
		code int
		want []string
	}{
		{"push text ping --wait 2s --to " + server.URL + "/late", exitOK, []string{"已回复：应用对第 3 次推送以文本回复"}},
		{"push text ping --wait 2s --to " + server.URL + "/no", exitFailed, []string{"失败：3 次推送全部失败（每次返回 403 Forbidden）。应用拒绝了这次加密推送"}},
		{"push text ping --mode plain --wait 60s --to " + server.URL + "/picture", exitOK, []string{"应用以图片回复", "粉丝看到：[图片] m1"}},
		{"push text ping --to 127.0.0.1:3100", exitMistake, []string{"须以 http:// 或 https:// 加主机名开头"}},
		{"push list", exitOK, []string{"资质认证失败", "名称认证失败", "VALUE 是 zhongkong push"}},
		{"push text ping --too x", exitMistake, []string{"是否想写", "？ 用法见 zhongkong --help"}},
		{"explain 9999999", exitFailed, []string{"未收录：请查看"}},
		{"doctor callback --wait 60s --url " + server.URL, exitOK, []string{
			"伪造的地址验证：应用没有返回 echostr（正确）", "安全模式推送，XML", "AppID 不符的推送：应用已拒绝 AppID 不符的推送（返回 403", "公众平台可以保存", "WARN 来自本次检查", "订阅方",
		}},
	} {
		code, out, errs := started(t.Context(), env, strings.Fields(row.args)...)
		if code != row.code {
			t.Errorf("%s: exit code %d", row.args, code)
		}
		for _, want := range row.want {
			if plain := strings.ReplaceAll(out+errs, ": ", "："); !strings.Contains(plain, want) && !strings.Contains(out+errs, want) {
				t.Errorf("%s: no %q in\n%s%s", row.args, want, out, errs)
			}
		}
	}
}
