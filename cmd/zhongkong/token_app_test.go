package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTokenOfApp: the token of an app of WeCom, by its environment and by a gateway's
// configuration.
func TestTokenOfApp(t *testing.T) {
	t.Parallel()
	s := newCorpShop(t)
	s.env["ZHONGKONG_STORE"] = "sqlite:" + s.database
	token, _ := s.run("get", exitOK)
	if token = strings.TrimSpace(token); token == "" {
		t.Fatal("no token")
	}
	out, _ := s.run("status", exitOK)
	s.mustSay(out, "✓ access_token/"+corpApp, "lives for 2h")

	file := filepath.Join(t.TempDir(), "zhongkong.yaml")
	lines := "listen: 127.0.0.1:0\nstore: 'sqlite:" + s.database + "'\nwecom_base: " + s.URL +
		"\naccounts:\n  - {name: 销售助手, corpid: " + corpID + ", agentid: 1000002, secret: '" + corpSecret + "'}\n"
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = map[string]string{}
	out, _ = s.run("status --config "+file, exitOK)
	s.mustSay(out, "✓ 销售助手 access_token/"+corpApp)
	if again, _ := s.run("get --config "+file+" --account "+corpApp, exitOK); strings.TrimSpace(again) != token {
		t.Error("the configuration's app has another token")
	}
	_, errs := s.run("refresh --ticket jsapi --config "+file, exitMistake)
	s.mustSay(errs, "--ticket is for official accounts")

	s.env = map[string]string{"WECOM_CORPID": corpID, "WECOM_AGENTID": "x", "ZHONGKONG_STORE": "sqlite:" + s.database}
	_, errs = s.run("status", exitMistake)
	s.mustSay(errs, "the AgentID is", "it is a number")
}
