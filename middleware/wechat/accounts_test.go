package wechat_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// several returns the Configs of n accounts on one database, each with its own Token and
// CallbackPath, behind one simulator.
func several(t *testing.T, n int) []wechat.Config {
	t.Helper()
	accounts := make([]simulator.Account, n)
	for i := range accounts {
		accounts[i] = simulator.Account{AppID: fmt.Sprintf("wx%016x", i+1), Secret: testSecret}
	}
	cfg, _ := inMemory(t, config(), simulator.Options{Accounts: accounts, Events: -1})
	cfg.StoreURL = "sqlite://" + filepath.Join(t.TempDir(), "zhongkong.db")
	all := make([]wechat.Config, n)
	for i := range all {
		all[i] = cfg
		all[i].AppID, all[i].Token = accounts[i].AppID, wechat.Secret(fmt.Sprintf("Token%d", i))
		all[i].CallbackPath = "/wechat/" + accounts[i].AppID
	}
	return all
}

func newAccounts(t *testing.T, configs ...wechat.Config) *wechat.Accounts {
	t.Helper()
	accounts, err := wechat.NewAccounts(configs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := accounts.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return accounts
}

// descriptors returns how many files this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// TestManyAccounts: 300 accounts that name the same database have it open once, and each
// has a token of its own.
func TestManyAccounts(t *testing.T) {
	const n = 300
	configs := several(t, n)
	before := 0
	if runtime.GOOS == "linux" {
		before = descriptors(t)
	}
	accounts := newAccounts(t, configs...)
	values := map[string]bool{}
	for client := range accounts.All() {
		values[mustToken(t, client)] = true
	}
	if len(values) != n {
		t.Errorf("%d tokens for %d accounts", len(values), n)
	}
	if runtime.GOOS == "linux" {
		if more := descriptors(t) - before; more > 40 {
			t.Errorf("%d files were opened for %d accounts", more, n)
		}
	}
}

// TestAccounts: each push reaches its account, wherever the handlers are, and no other
// account's Token opens it.
func TestAccounts(t *testing.T) {
	configs := several(t, 3)
	bot := callback.NewRouter()
	bot.Default(func(c *callback.Context) error { return c.ReplyText(fmt.Sprint(wechat.From(c))) })
	configs[2].Messages = bot
	log := new(logtest.Log)
	configs[0].Logger = log.Logger(slog.LevelWarn)
	accounts := newAccounts(t, configs...)
	engine := gin.New()
	engine.Use(accounts.Middleware())
	engine.POST(configs[1].CallbackPath, func(c *gin.Context) { c.String(http.StatusOK, "%v", c.MustGet("wechat")) })
	engine.GET("/of/:appid", func(c *gin.Context) {
		client, ok := wechat.AccountsFrom(c).Client(c.Param("appid"))
		c.String(http.StatusOK, "%v %v %t", client, c.MustGet(wechat.AccountsKey) == accounts, ok)
	})
	for i, cfg := range configs {
		path, token := cfg.CallbackPath, cfg.Token.Reveal()
		mustAnswer(t, serve(engine, http.MethodGet, verificationURL(path, token), ""), says(200, echostr))
		mustAnswer(t, serve(engine, http.MethodGet, verificationURL(path+"/", token), ""), says(200, echostr))
		mustAnswer(t, serve(engine, http.MethodGet, verificationURL(path, configs[(i+1)%3].Token.Reveal()), ""), says(403, "wrong"))
	}
	whose := func(i int) string { return fmt.Sprintf("wechat.Client(%s)", configs[i].AppID) }
	for i, want := range []string{"success", whose(1), whose(2)} {
		answer := serve(engine, http.MethodPost, pushURL(configs[i].CallbackPath, configs[i].Token.Reveal()),
			strings.Replace(message, "<MsgType>", "<FromUserName><![CDATA[oA]]></FromUserName>\n<MsgType>", 1))
		if !strings.Contains(answer.Body.String(), want) {
			t.Errorf("account %d answered %s, want %s", i, answer.Body, want)
		}
	}
	if body := serve(engine, http.MethodGet, "/of/"+configs[1].AppID, "").Body.String(); body != whose(1)+" true true" {
		t.Error(body)
	}
	if answer := serve(engine, http.MethodPost, pushURL("/elsewhere", "Token0"), message); answer.Code != http.StatusNotFound || !strings.Contains(log.String(), "CallbackPath of no account") {
		t.Errorf("%d, and the log has %s", answer.Code, log)
	}
	if text := panics(func() { wechat.AccountsFrom(t.Context()) }); !strings.Contains(text, "accounts.Middleware()") {
		t.Error(text)
	}
}

// TestAccountsThatExclude: two that cannot be told apart are refused at the start, and
// what was opened for the others is closed.
func TestAccountsThatExclude(t *testing.T) {
	for name, c := range map[string]struct {
		change func(all []wechat.Config)
		want   []string
	}{
		"one AppID":     {func(all []wechat.Config) { all[2].AppID = all[0].AppID }, []string{"twice"}},
		"one path":      {func(all []wechat.Config) { all[2].CallbackPath = all[0].CallbackPath + "/" }, []string{"CallbackPath", "/wechat/wx0000000000000003"}},
		"two defaults":  {func(all []wechat.Config) { all[0].CallbackPath, all[2].CallbackPath = "", "" }, []string{"CallbackPath", `"/"`}},
		"no AppSecret":  {func(all []wechat.Config) { all[2].AppSecret = wechat.Secret("") }, []string{"account 3 of 3", "wx0000000000000003", "AppSecret"}},
		"another store": {func(all []wechat.Config) { all[2].StoreURL = "redis://h" }, []string{"account 3 of 3", "store/redis"}},
	} {
		t.Run(name, func(t *testing.T) {
			configs := several(t, 3)
			c.change(configs)
			accounts, err := wechat.NewAccounts(configs...)
			if err == nil {
				_ = accounts.Close()
				t.Fatal("no error")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if runtime.GOOS != "linux" {
				return
			}
			folder := filepath.Dir(strings.TrimPrefix(configs[0].StoreURL, "sqlite://"))
			links, err := filepath.Glob("/proc/self/fd/*")
			if err != nil {
				t.Fatal(err)
			}
			for _, link := range links {
				if to, _ := os.Readlink(link); strings.HasPrefix(to, folder) {
					t.Errorf("%s is still open", to)
				}
			}
		})
	}
}

// TestSharedStore: a client that is closed leaves the store to the others, however they
// write its address, and the last one closes it.
func TestSharedStore(t *testing.T) {
	configs := several(t, 2)
	folder := filepath.Dir(strings.TrimPrefix(configs[0].StoreURL, "sqlite://"))
	t.Chdir(folder)
	configs[0].StoreURL = "sqlite:zhongkong.db"
	for range 2 { // the second time it is opened anew
		first, err := wechat.New(configs[0])
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, first)
		second, err := wechat.New(configs[1])
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := first.Close(); err != nil { // twice: it leaves once
				t.Fatal(err)
			}
		}
		mustToken(t, second)
		if ticket, err := second.Ticket(t.Context(), "jsapi"); err != nil || ticket.Value() == "" {
			t.Errorf("a ticket after the other client left: %v", err)
		}
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove("zhongkong.db-wal"); err == nil {
			t.Error("the last client left the log of an open database")
		}
	}
}
