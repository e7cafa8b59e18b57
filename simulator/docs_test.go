package simulator_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// TestRecipesOfThePages sends every request of the pages' tables.
func TestRecipesOfThePages(t *testing.T) {
	row := regexp.MustCompile("`(GET|POST|PATCH) /simulator(/[^ `]+)`(?: `({[^`]*})`)?")
	for _, page := range []string{"simulator.md", "simulator.zh-CN.md"} {
		content, err := os.ReadFile("../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		recipes := row.FindAllStringSubmatch(string(content), -1)
		if len(recipes) != 22 {
			t.Errorf("%s: %d recipes found, want 22", page, len(recipes))
		}
		wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{pushing(), {AppID: miniAppID, Secret: "mini", Kind: simulator.MiniProgram}}})
		app := httptest.NewServer(answering(http.StatusOK, "success"))
		t.Cleanup(app.Close)
		for _, r := range recipes {
			stable(t, wx, false) // there is a token to refuse, whatever came before
			path := strings.ReplaceAll(r[2], "APPID", appid)
			body := strings.ReplaceAll(r[3], "http://127.0.0.1:3100/", app.URL)
			switch {
			case strings.HasSuffix(path, "/code"):
				path = strings.ReplaceAll(r[2], "APPID", miniAppID)
			case path == "/authorize":
				body = `{"url":"` + authorizeURL(appid, "snsapi_base", "s") + `"}`
			}
			if status, answer := admin(t, wx, r[1], path, body); status != http.StatusOK {
				t.Errorf("%s: %s %s %s: %d %s", page, r[1], path, body, status, answer)
			}
			wx.ClearFaults()
			use(t, wx, func(a *simulator.Account) { a.Whitelist, a.State = nil, simulator.Normal })
		}
	}
}
