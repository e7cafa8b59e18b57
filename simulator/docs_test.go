package simulator_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
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

// TestRequestsOfThePages sends what the blocks of errors.md, getting-started.md and simulator.md
// post to a simulator.
func TestRequestsOfThePages(t *testing.T) {
	sent := regexp.MustCompile(`(?m)^(?:curl http://127\.0\.0\.1:3200/simulator/(\S+) -d|post (\S+)) '([^']*)'`)
	for page, want := range map[string]int{"errors.md": 1, "getting-started.md": 1, "simulator.md": 3} {
		for _, name := range []string{page, strings.TrimSuffix(page, ".md") + ".zh-CN.md"} {
			content, err := os.ReadFile("../docs/" + name)
			if err != nil {
				t.Fatal(err)
			}
			requests := sent.FindAllStringSubmatch(string(content), -1)
			if len(requests) != want {
				t.Errorf("%s: %d requests found, want %d", name, len(requests), want)
			}
			wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{pushing()}})
			app := httptest.NewServer(answering(http.StatusOK, "success"))
			t.Cleanup(app.Close)
			for _, r := range requests {
				path, body := "/"+r[1]+r[2], strings.ReplaceAll(r[3], "http://127.0.0.1:3100/", app.URL)
				if status, answer := admin(t, wx, http.MethodPost, path, body); status != http.StatusOK {
					t.Errorf("%s: POST %s %s: %d %s", name, path, body, status, answer)
				}
			}
		}
	}
}

// TestMiniProgramOfThePages runs the commands of simulator.md with which the backend of a mini
// program is tested.
func TestMiniProgramOfThePages(t *testing.T) {
	for _, program := range []string{"sh", "curl", "grep"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	block := regexp.MustCompile("(?s)```sh\n(export MINI_KIND=[^\n]*\n)zhongkong simulate[^\n]*\n(.*?)```")
	for _, name := range []string{"simulator.md", "simulator.zh-CN.md"} {
		content, err := os.ReadFile("../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		commands := block.FindStringSubmatch(string(content))
		if commands == nil {
			t.Fatalf("%s has no such block", name)
		}
		secret := regexp.MustCompile(`MINI_APPSECRET=(\S+)`).FindStringSubmatch(commands[1])
		id := regexp.MustCompile(`MINI_APPID=(\S+)`).FindStringSubmatch(commands[1])
		if secret == nil || id == nil {
			t.Fatalf("%s sets %s", name, commands[1])
		}
		wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{{AppID: id[1], Secret: secret[1], Token: "madeUpToken", Kind: simulator.MiniProgram}}})
		app := httptest.NewServer(answering(http.StatusOK, "success"))
		t.Cleanup(app.Close)
		here := strings.NewReplacer("http://127.0.0.1:3200", wx.URL, "http://127.0.0.1:3100/", app.URL)
		out, err := exec.CommandContext(t.Context(), "sh", "-ec", commands[1]+here.Replace(commands[2])).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		before, after, fault := strings.Cut(string(out), `"faults"`)
		if !fault || !strings.Contains(before, `"openid":"o`) || !strings.Contains(after, `"errcode":-1,"errmsg"`) || !strings.Contains(after, `"verdict": "silent"`) {
			t.Errorf("%s: it prints\n%s", name, out)
		}
	}
}
