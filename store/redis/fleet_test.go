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
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

// startCluster starts servers of which three share the slots.
func startCluster(t *testing.T, count int, nodeTimeout string) []*testserver.Server {
	t.Helper()
	var servers []*testserver.Server
	for range count {
		servers = append(servers, testserver.Own(t, testserver.Redis, func(ctx context.Context) (*testserver.Server, error) {
			return testserver.StartRedis(ctx, "--cluster-enabled", "yes", "--cluster-node-timeout", nodeTimeout)
		}))
	}
	const slots, masters = 16384, 3
	host, port, err := net.SplitHostPort(servers[0].Addr)
	must(t, err)
	for i, server := range servers {
		db := raw(t, server.URL).db
		if i < masters {
			must(t, db.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", i*slots/masters, (i+1)*slots/masters-1).Err())
		}
		must(t, db.Do(t.Context(), "CLUSTER", "MEET", host, port).Err())
	}
	for _, server := range servers {
		mustKnow(t, server, "cluster_state:ok", fmt.Sprintf("cluster_known_nodes:%d", count))
	}
	return servers
}

// mustKnow waits until a server says words of its cluster.
func mustKnow(t *testing.T, server *testserver.Server, words ...string) {
	t.Helper()
	db := raw(t, server.URL).db
	remotetest.Eventually(t, func() error {
		info, err := db.ClusterInfo(t.Context()).Result()
		for _, word := range words {
			if err == nil && !strings.Contains(info, word) {
				err = errors.New(info)
			}
		}
		return err
	})
}

// TestClusterFailover: the master that has the record ends, and as soon as the
// cluster has another one, so has the store: it looks once more after each failed call.
func TestClusterFailover(t *testing.T) {
	tier.Full(t)
	t.Parallel()
	servers := startCluster(t, 6, "2000")
	for i, replica := range servers[3:] {
		id, err := raw(t, servers[i].URL).db.Do(t.Context(), "CLUSTER", "MYID").Text()
		must(t, err)
		remotetest.Eventually(t, func() error { return raw(t, replica.URL).db.Do(t.Context(), "CLUSTER", "REPLICATE", id).Err() })
		remotetest.Eventually(t, func() error {
			info, err := raw(t, replica.URL).db.Info(t.Context(), "replication").Result()
			if err == nil && !strings.Contains(info, "master_link_status:up") {
				err = errors.New(info)
			}
			return err
		})
	}
	s := tests.OpenAt(t, remotetest.With(t, servers[0].URL, "cluster", "true"), nil).(*Store)
	lease := remotetest.Save(t, s, "value")
	remotetest.MustLoad(t, s, "value")

	slot := keySlot(t, servers[0])
	owner := slot * 3 / 16384
	must(t, servers[owner].Stop())
	began := time.Now()
	witness := raw(t, servers[(owner+1)%3].URL).db
	remotetest.Eventually(t, func() error { // until the others have elected another
		nodes, err := witness.ClusterSlots(t.Context()).Result()
		must(t, err)
		for _, n := range nodes {
			if n.Start <= slot && slot <= n.End && n.Nodes[0].Addr != servers[owner].Addr {
				return nil
			}
		}
		return errors.New("the slot has its old master")
	})
	elected := time.Since(began)
	var err error
	const pause = 250 * time.Millisecond
	tries := 1
	for ; tries < 40; tries++ {
		if _, err = s.Load(t.Context(), remotetest.Key); err == nil {
			break
		}
		time.Sleep(pause)
	}
	t.Logf("the cluster had another master after %s, the store %s later, in the call number %d", elected.Round(10*time.Millisecond), (time.Since(began) - elected).Round(10*time.Millisecond), tries)
	if time.Duration(tries)*pause > 3*time.Second {
		t.Errorf("the store needed %d calls after the election, which are %s apart: %v", tries, pause, err)
	}
	next, err := s.Acquire(t.Context(), remotetest.Key, "next", time.Hour)
	var held *custody.HeldError
	if !errors.As(err, &held) && (err != nil || next.Fence <= lease.Fence) {
		t.Errorf("Acquire: fence %d after %d, %v", next.Fence, lease.Fence, err)
	}
}

// keySlot asks a server for the slot of the record.
func keySlot(t *testing.T, server *testserver.Server) int {
	t.Helper()
	slot, err := raw(t, server.URL).db.ClusterKeySlot(t.Context(), Prefix+"{"+remotetest.Key.String()+"}").Result()
	must(t, err)
	return int(slot)
}

// TestCluster: the suite on a cluster of three, whose servers share the slots.
func TestCluster(t *testing.T) {
	t.Parallel()
	servers := startCluster(t, 3, "15000")
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
		for _, server := range servers {
			tests.MustNotOpen(t, server.URL, "is one of a cluster", "cluster=true")
		}
	})
}

// TestWrongAddresses: what listens at an address is found out at the start, with the remedy.
func TestWrongAddresses(t *testing.T) {
	t.Parallel()
	plain := testserver.Own(t, testserver.Redis, tests.Start)
	sentinel := testserver.Own(t, testserver.Redis, func(ctx context.Context) (*testserver.Server, error) {
		return testserver.StartSentinel(ctx, plain)
	})
	tests.MustNotOpen(t, remotetest.With(t, plain.URL, "cluster", "true"), "is no cluster", "leave cluster=true out")
	tests.MustNotOpen(t, strings.Replace(plain.URL, "redis://", "rediss://", 1), "does not speak TLS", "redis://")
	tests.MustNotOpen(t, sentinel.URL, "is a sentinel", "master_name=")
	tests.MustNotOpen(t, remotetest.With(t, remotetest.Through(t, plain.URL, sentinel.Addr), "master_name", "nosuch"), "is not known", "SENTINEL MASTERS")
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
