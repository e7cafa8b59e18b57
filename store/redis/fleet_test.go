package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/remotetest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

// TestCluster: the suite on a cluster of three, whose servers share the slots.
func TestCluster(t *testing.T) {
	t.Parallel()
	var servers []*testserver.Server
	for range 3 {
		servers = append(servers, testserver.Own(t, testserver.Redis, func(ctx context.Context) (*testserver.Server, error) {
			return testserver.StartRedis(ctx, "--cluster-enabled", "yes", "--cluster-node-timeout", "15000")
		}))
	}
	const slots = 16384
	host, port, err := net.SplitHostPort(servers[0].Addr)
	must(t, err)
	for i, server := range servers {
		db := raw(t, server.URL).db
		must(t, db.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", i*slots/3, (i+1)*slots/3-1).Err())
		must(t, db.Do(t.Context(), "CLUSTER", "MEET", host, port).Err())
	}
	for _, server := range servers {
		db := raw(t, server.URL).db
		remotetest.Eventually(t, func() error {
			info, err := db.ClusterInfo(t.Context()).Result()
			if err == nil && (!strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:3")) {
				err = errors.New(info)
			}
			return err
		})
	}
	cluster := remotetest.With(t, servers[0].URL, "cluster", "true")
	options := storetest.Options{
		Open: func(t *testing.T) func(t *testing.T) custody.Store {
			t.Helper()
			address := remotetest.With(t, cluster, "prefix", testserver.Name()+":")
			return func(t *testing.T) custody.Store {
				t.Helper()
				return tests.OpenAt(t, address, nil)
			}
		},
	}
	storetest.RunWith(t, options)
	t.Run("Messages", func(t *testing.T) { storetest.RunOnce(t, options) })
	t.Run("Queue", func(t *testing.T) { storetest.RunQueue(t, options) })
	t.Run("LoadMany", func(t *testing.T) {
		s := tests.OpenAt(t, cluster, nil).(*Store)
		keys := make([]custody.Key, 100)
		for i := range keys {
			keys[i] = remotetest.Key
			keys[i].AppID += fmt.Sprint(i)
			lease, err := s.Acquire(t.Context(), keys[i], "attempt", time.Hour)
			must(t, err)
			must(t, s.Save(t.Context(), lease, custody.Record{Value: fmt.Sprint(i)}))
		}
		records, err := s.LoadMany(t.Context(), keys)
		must(t, err)
		for i, key := range keys {
			if records[key].Value != fmt.Sprint(i) {
				t.Errorf("record %d is %q", i, records[key].Value)
			}
		}
	})
	t.Run("TakenForOne", func(t *testing.T) {
		mustNotOpenOrSay(t, servers, "is one of a cluster", "cluster=true")
	})
}

// mustNotOpenOrSay opens each server as if it stood alone: those that do not
// have the slot of what Open tries say so.
func mustNotOpenOrSay(t *testing.T, servers []*testserver.Server, words ...string) {
	t.Helper()
	refused := 0
	for _, server := range servers {
		s, err := Open(t.Context(), server.URL, Options{})
		if err == nil {
			_ = s.Close()
			continue
		}
		refused++
		remotetest.MustSay(t, err, words...)
	}
	if refused != 2 {
		t.Errorf("%d of 3 servers refused, want the 2 that do not have the slot", refused)
	}
}

// TestSentinel: the master ends for good, its replica takes its place, and a
// store that knows the sentinel goes on: with the value, or without it when the
// replica had not received it yet. Fences grow, notices come.
func TestSentinel(t *testing.T) {
	t.Parallel()
	master := testserver.Own(t, testserver.Redis, tests.Start)
	host, port, err := net.SplitHostPort(master.Addr)
	must(t, err)
	replica := testserver.Own(t, testserver.Redis, func(ctx context.Context) (*testserver.Server, error) {
		return testserver.StartRedis(ctx, "--replicaof", host+" "+port)
	})
	sentinel := testserver.Own(t, testserver.Redis, func(ctx context.Context) (*testserver.Server, error) {
		return testserver.StartSentinel(ctx, master)
	})
	db := raw(t, replica.URL).db
	remotetest.Eventually(t, func() error {
		info, err := db.Info(t.Context(), "replication").Result()
		if err == nil && !strings.Contains(info, "master_link_status:up") {
			err = errors.New(info)
		}
		return err
	})
	watcher := raw(t, sentinel.URL).db
	remotetest.Eventually(t, func() error { // until it has found the replica
		info, err := watcher.Info(t.Context(), "sentinel").Result()
		if err == nil && !strings.Contains(info, "slaves=1") {
			err = errors.New(info)
		}
		return err
	})
	address := remotetest.With(t, remotetest.Through(t, master.URL, sentinel.Addr), "master_name", "mymaster")
	s := tests.OpenAt(t, address, nil).(*Store)
	lease := remotetest.Save(t, s, "value")
	keys, err := s.Watch(t.Context())
	must(t, err)
	must(t, master.Stop())
	var next custody.Lease
	remotetest.Eventually(t, func() (err error) {
		next, err = s.Acquire(t.Context(), remotetest.Key, "next", time.Hour)
		return err
	})
	if next.Fence <= lease.Fence {
		t.Errorf("fence %d after %d, want a higher one", next.Fence, lease.Fence)
	}
	if v := next.Record.Value; v != "" && v != "value" {
		t.Errorf("the record holds %q", v)
	}
	remotetest.Eventually(t, func() error {
		select {
		case <-keys:
			return nil
		default:
			if err := s.Release(t.Context(), next, fmt.Append(nil, time.Now())); err != nil {
				return err
			}
			next, err = s.Acquire(t.Context(), remotetest.Key, fmt.Sprint(time.Now()), time.Hour)
			return errors.Join(err, errors.New("no notice"))
		}
	})
}
