package redis

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/remotetest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

// TestWrongURL: what cannot work is told without asking a server, and without
// the password.
func TestWrongURL(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{
		"Empty":         "",
		"Scheme":        "http://:made-up-pa55word@127.0.0.1",
		"Escape":        "redis://:made-up-pa55word%@127.0.0.1",
		"NoHost":        "redis://:made-up-pa55word@/0",
		"Port":          "redis://:made-up-pa55word@127.0.0.1:port",
		"Database":      "redis://:made-up-pa55word@127.0.0.1/app",
		"Parameter":     "redis://:made-up-pa55word@127.0.0.1/?pool_size=1",
		"Both":          "redis://:made-up-pa55word@127.0.0.1/?cluster=true&master_name=m",
		"ClusterNumber": "redis://:made-up-pa55word@127.0.0.1/3?cluster=true",
		"ClusterWord":   "redis://:made-up-pa55word@127.0.0.1/?cluster=perhaps",
		"TwoServers":    "redis://:made-up-pa55word@127.0.0.1/?addr=127.0.0.2",
		"CAWithoutTLS":  "redis://:made-up-pa55word@127.0.0.1/?ca=/x.pem",
		"NoCA":          "rediss://:made-up-pa55word@127.0.0.1/?ca=/no/such/file",
		"Prefix":        "redis://:made-up-pa55word@127.0.0.1/?prefix={",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tests.MustNotOpen(t, address, "the Redis store")
		})
	}
}

// TestURL: what an URL says arrives at the driver.
func TestURL(t *testing.T) {
	t.Parallel()
	s, err := read("rediss://user:p%40ss@redis.example.com/7?prefix=shop:", Options{})
	must(t, err)
	if c := s.client; c.Username != "user" || c.Password != "p@ss" || c.DB != 7 || c.Addrs[0] != "redis.example.com:6379" ||
		c.TLSConfig.ServerName != "redis.example.com" || s.prefix != "shop:" || c.MaxRetries != -1 {
		t.Errorf("got %+v, prefix %s", c.Addrs, s.prefix)
	}
	s, err = read("redis://h:26379/?addr=[::1]:26380&addr=[::1]&master_name=mymaster&sentinel_user=u&sentinel_password=p", Options{Prefix: "x"})
	must(t, err)
	if c := s.client; strings.Join(c.Addrs, " ") != "h:26379 [::1]:26380 [::1]:6379" || c.MasterName != "mymaster" ||
		c.SentinelUsername != "u" || c.SentinelPassword != "p" || c.TLSConfig != nil || s.prefix != "x" {
		t.Errorf("got %q, prefix %s", c.Addrs, s.prefix)
	}
}

// TestFaults: what a server answers to a configuration that cannot work, or that
// does not for the moment. It has a server of its own, for it spoils it.
func TestFaults(t *testing.T) {
	t.Parallel()
	server := testserver.Own(t, testserver.Redis, func(ctx context.Context) (*testserver.Server, error) {
		return testserver.StartRedis(ctx, "--dbfilename", "full.rdb")
	})
	db := raw(t, server.URL).db
	as := func(user, password string) string {
		t.Helper()
		u, err := url.Parse(server.URL)
		must(t, err)
		u.User = url.UserPassword(user, password)
		return u.String()
	}
	tests.MustNotOpen(t, as("", "wrong-pa55word"), "refuses user default or the password", "correct them in the URL")
	tests.MustNotOpen(t, as("nobody", testserver.Password), "refuses user nobody or the password")
	tests.MustNotOpen(t, strings.Replace(server.URL, ":"+testserver.Password+"@", "", 1), "refuses user default or the password")
	tests.MustNotOpen(t, strings.Replace(server.URL, "/0", "/99", 1), "no database of that number")

	must(t, db.Do(t.Context(), "ACL", "SETUSER", "guest", "on", ">"+testserver.Password, "~other:*", "+@all").Err())
	tests.MustNotOpen(t, as("guest", testserver.Password), "does not let user guest use the keys", "~zhongkong:*")
	// What that remedy gives is enough, and without the channel only notices are missed.
	must(t, db.Do(t.Context(), "ACL", "SETUSER", "guest", "~zhongkong:*", "resetchannels", "+@all", "-@admin", "-@dangerous").Err())
	s := tests.OpenAt(t, as("guest", testserver.Password), nil)
	remotetest.Save(t, s, "value")
	remotetest.MustLoad(t, s, "value")

	write := func() error {
		lease, err := s.Acquire(t.Context(), remotetest.Key, "attempt", time.Minute)
		if err == nil {
			err = s.Release(t.Context(), lease, []byte("notes"))
		}
		return err
	}
	refused := func(says ...string) {
		t.Helper()
		remotetest.MustSay(t, write(), says...)
		log := new(remotetest.Log)
		_ = tests.OpenAt(t, server.URL, log).Close()
		log.MustWarnOnce(t, says...)
	}
	must(t, write())
	must(t, db.ConfigSet(t.Context(), "maxmemory", "1").Err())
	remotetest.MustSay(t, write(), "no memory left", "maxmemory")
	remotetest.MustLoad(t, s, "value")
	must(t, db.ConfigSet(t.Context(), "maxmemory", "0").Err())
	must(t, write())

	other := testserver.Own(t, testserver.Redis, tests.Start)
	host, port, err := net.SplitHostPort(other.Addr)
	must(t, err)
	must(t, db.Do(t.Context(), "REPLICAOF", host, port).Err())
	refused("only reads", "master_name=", "promoted")
	must(t, db.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
	remotetest.Eventually(t, write)

	// It saves its memory into a file that is a folder.
	must(t, os.Mkdir(filepath.Join(server.Dir(), "full.rdb"), 0o700))
	must(t, db.ConfigSet(t.Context(), "save", "3600 1").Err())
	t.Cleanup(func() { _ = db.ConfigSet(context.Background(), "save", "").Err() }) // or it would not end
	remotetest.Eventually(t, func() error {
		_ = db.BgSave(t.Context()).Err() // an error while one is under way
		info, err := db.Info(t.Context(), "persistence").Result()
		if err == nil && !strings.Contains(info, "rdb_last_bgsave_status:err") {
			err = errors.New("the server still saves")
		}
		return err
	})
	refused("cannot write to its disk", "has room")
}

// TestNewerFormat: what a newer release wrote is not taken for damaged.
func TestNewerFormat(t *testing.T) {
	t.Parallel()
	address := tests.Place(t, testserver.URL(t, testserver.Redis))
	s := tests.OpenAt(t, address, nil)
	remotetest.Save(t, s, "value")
	e := raw(t, address)
	must(t, e.db.HSet(t.Context(), e.record(remotetest.Key.String()), "format", format+1).Err())
	_, err := s.Load(t.Context(), remotetest.Key)
	remotetest.MustSay(t, err, "the format 2, and this program knows 1", "update this program")
}

// TestForeignKeys: whatever stands where a record or a journal belongs, the
// credential is renewed.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	address := tests.Place(t, testserver.URL(t, testserver.Redis))
	e, name := raw(t, address), remotetest.Key.String()
	log := new(remotetest.Log)
	s := tests.OpenAt(t, address, log)
	must(t, e.db.Set(t.Context(), e.record(name), "a text", 0).Err())
	must(t, e.db.Set(t.Context(), e.journal(name), "a text", 0).Err())
	if lines, err := s.(custody.Journal).Journal(t.Context(), remotetest.Key, 10); err != nil || len(lines) != 0 {
		t.Errorf("Journal: %v, %v", lines, err)
	}
	remotetest.MustLoad(t, s, "")
	log.MustWarnOnce(t, "something else")
	remotetest.Save(t, s, "value")
	remotetest.MustLoad(t, s, "value")
	if lines, err := s.(custody.Journal).Journal(t.Context(), remotetest.Key, 10); err != nil || len(lines) != 1 {
		t.Errorf("Journal: %v, %v; want one line", lines, err)
	}
	must(t, e.db.HSet(t.Context(), e.record(name), "version", "a text").Err())
	remotetest.MustLoad(t, s, "")
	remotetest.Save(t, s, "again")
	remotetest.MustLoad(t, s, "again")
}

// TestTLS: rediss:// with the authority's certificate works, without it is an
// error that says so.
func TestTLS(t *testing.T) {
	t.Parallel()
	certificate, key := testserver.Certificate(t)
	addr := testserver.FreeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	must(t, err)
	server := testserver.Own(t, testserver.Redis, func(ctx context.Context) (*testserver.Server, error) {
		return testserver.StartRedis(ctx, "--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no")
	})
	secure := strings.Replace(remotetest.Through(t, server.URL, addr), "redis://", "rediss://", 1)
	tests.MustNotOpen(t, secure, "shows a certificate that is not trusted", "ca=")
	s := tests.OpenAt(t, remotetest.With(t, secure, "ca", certificate), nil)
	remotetest.Save(t, s, "value")

	tests.MustNotOpen(t, remotetest.Through(t, server.URL, addr), "speaks TLS", "rediss://")
}
