package main

import (
	"context"
	"net/url"
	"os"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/remotetest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// TestDoctorServers: stores on real servers, before and after a program, and with a
// wrong password, which is not shown.
func TestDoctorServers(t *testing.T) {
	t.Parallel()
	const password = "made-up-pa55word"
	for _, engine := range testserver.Engines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			address := os.Getenv(engine.Variable())
			if address == "" {
				address = testserver.Own(t, engine, func(ctx context.Context) (*testserver.Server, error) { return testserver.Start(ctx, engine) }).URL
			}
			s := newShop(t, "classic")
			s.env["ZHONGKONG_SEAL_KEY"] = sealKey
			s.env["ZHONGKONG_STORE"] = remotetest.With(t, address, "prefix", testserver.Name()+"_")
			first := illness{check: "store", cause: "store_empty", state: "warning"}
			if engine == testserver.Redis {
				first = illness{}
			}
			s.examine("--wait 60s").wants(t, first)
			s.run("get", exitOK)
			s.examine("--wait 60s").wants(t, illness{})
			delete(s.env, "ZHONGKONG_SEAL_KEY")
			if d := s.examine("--wait 60s"); d.Problems != 1 || d.Warnings == 0 { // it cannot be opened, and the next would lie in the clear
				t.Errorf("without the key:\n%v", d)
			}
			if n := s.Stats(tokenAppID); n.Classic.Calls != 1 || !s.Accepts(s.Latest(tokenAppID, simulator.Classic)) {
				t.Errorf("%+v", n)
			}
			u, err := url.Parse(s.env["ZHONGKONG_STORE"])
			if err != nil {
				t.Fatal(err)
			}
			u.User = url.UserPassword("nobody", password)
			s.env["ZHONGKONG_STORE"] = u.String()
			s.examine("--wait 60s", password).wants(t, illness{check: "store", cause: "store_misconfigured"})
		})
	}
}
