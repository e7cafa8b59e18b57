package storeurl_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/storeurl"
)

// TestAddresses: what may stand in a URL is in the table, and everything else is refused in
// words that show no password.
func TestAddresses(t *testing.T) {
	const secret = "made-up-pa55word"
	for _, row := range []struct{ address, engine, says string }{
		{"sqlite:zhongkong.db", "SQLite", ""},
		{"SQLite:///abs/a.db", "SQLite", ""},
		{"sqlite:a.db?mode=ro", "SQLite", "it takes no parameters"},
		{"memory:", "memory", ""},
		{"Memory:", "memory", ""},
		{"memory:x", "memory", "memory: and nothing more"},
		{"redis://u:" + secret + "@h?addr=a:1&addr=b:2&cluster=true&prefix=shop:", "Redis", ""},
		{"rediss://u:" + secret + "@h?pool_size=4", "Redis", "use addr, cluster, master_name, sentinel_user, sentinel_password, ca and prefix"},
		{"postgresql://u:" + secret + "@h/app?sslmode=disable&migrate=on&anything=x", "PostgreSQL", ""},
		{"postgres://u:" + secret + "@h/app?migrate=maybe", "PostgreSQL", "migrate in its URL: say on or off"},
		{"mariadb://u:" + secret + "@h/app?tls=true&ca=/x", "MySQL", ""},
		{"mysql://u:" + secret + "@h/app?tls=yes", "MySQL", "say true, preferred, skip-verify or false"},
		{"mysql://u:" + secret + "@h/app?charset=utf8", "MySQL", "use tls, ca, socket, prefix and migrate"},
		{"mysql://u:" + secret + "%@h/app", "MySQL", "cannot be read"},
		{"mysql://root:2024/" + secret + "@db/app", "MySQL", "behind the host"},
		{"redis://:p@ss/" + secret + "@h:6379/0", "Redis", "behind the host"},
		{"postgres://u:p#" + secret + "@h/app", "PostgreSQL", "cannot be read"},
		{"mysql://u:" + secret + "@h/app?tls=&prefix=", "MySQL", ""},
		{"postgres://u:" + secret + "@h/app?prefix=a_&prefix=shop_", "PostgreSQL", "its URL has prefix twice: leave one of the two out"},
		{"postgres://u:" + secret + "@h/app?migrate=off&migrate=", "PostgreSQL", "its URL has migrate twice"},
		{"postgres://u:" + secret + "@h/app?sslmode=disable&sslmode=verify-full", "PostgreSQL", "its URL has a parameter twice"},
		{"mysql://u:" + secret + "@h/app?tls=true&tls=true", "MySQL", "its URL has tls twice"},
		{"redis://u:" + secret + "@h?ca=/a&ca=/b", "Redis", "its URL has ca twice"},
		{"redis://u:" + secret + "@h?addr=a:1&addr=&cluster=true", "Redis", ""},
		{"sqlite:/x.db?_key=" + secret, "SQLite", "sqlite:/x.db, has a ?"},
		{"mongodb://u:" + secret + "@h", "", "there is no store mongodb"},
		{secret, "", "has no scheme"},
		{"u:" + secret + "@h", "", "begin it with sqlite:"},
		{"", "", "has no scheme"},
		{"sqlite", "", "has no scheme"},
	} {
		engine, err := storeurl.Check(row.address)
		name, said := "", ""
		if engine != nil {
			name = engine.Name
		}
		if err != nil {
			said = err.Error()
		}
		if name != row.engine || (said == "") != (row.says == "") || !strings.Contains(said, row.says) || strings.Contains(said, secret) {
			t.Errorf("%s: %s, %s; want %s, %q", row.address, name, said, row.engine, row.says)
		}
	}
}

// TestPackagesListTheirParameters: the documentation of an engine has each parameter of the
// table.
func TestPackagesListTheirParameters(t *testing.T) {
	for _, e := range storeurl.Engines {
		text, err := os.ReadFile(filepath.Join("..", "..", "store", e.Package, e.Package+".go"))
		if err != nil {
			t.Fatal(err)
		}
		doc, _, _ := strings.Cut(string(text), "\npackage ")
		for _, p := range e.Parameters {
			if !strings.Contains(doc, p.Name+"=") {
				t.Errorf("package %s does not list %s=", e.Package, p.Name)
			}
		}
	}
}

// TestForeign: what the table has is not passed on.
func TestForeign(t *testing.T) {
	a, err := storeurl.Postgres.Read("postgres://u:p@h/app?prefix=shop_&migrate=off&sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	if a.Get("prefix") != "shop_" || a.Password() != "p" || a.Foreign() != "postgres://u:p@h/app?sslmode=disable" {
		t.Errorf("%q %s", a.Get("prefix"), a.Foreign())
	}
	if a, err = storeurl.Redis.Read("redis://h?addr=a:1&addr=&addr=b:2"); err != nil || len(a.All("addr")) != 2 {
		t.Errorf("%v, %v", a, err)
	}
	if place := storeurl.Place("postgres://u:p@h/app?prefix=a_"); place != "postgres://h/app" {
		t.Error(place)
	}
}
