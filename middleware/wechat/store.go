package wechat

import (
	"context"
	"path/filepath"
	"reflect"
	"strings"
	"sync"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

// pool has the stores of this process's clients. Clients that name the same one share it,
// and a Scheduler: a program with 300 accounts has one database open, and what its
// Keepers look up travels together.
type pool struct {
	mu   sync.Mutex // also held while a store is opened
	open map[any]*pooled
}

var stores = pool{open: map[any]*pooled{}}

// pooled is a store that clients share.
type pooled struct {
	store     custody.Store
	opened    bool // by the pool, which closes it
	scheduler *custody.Scheduler
	key       any // in the pool; nil for one that is not shared
	users     int
}

// get returns the store of a valid cfg.
func (p *pool) get(cfg Config) (*pooled, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var key any
	path, inMemory, err := parseStoreURL(cfg.StoreURL)
	switch {
	case cfg.Store != nil && reflect.TypeOf(cfg.Store).Comparable():
		key = cfg.Store
	case cfg.Store != nil || inMemory:
	case err != nil:
		return nil, err
	default:
		if key, err = filepath.Abs(path); err != nil {
			key = path
		}
	}
	if s := p.open[key]; key != nil && s != nil {
		s.users++
		return s, nil
	}
	s := &pooled{store: cfg.Store, opened: cfg.Store == nil, key: key, users: 1}
	switch {
	case cfg.Store != nil:
	case inMemory:
		s.store = memory.New()
	default:
		file, err := sqlite.Open(context.Background(), path, sqlite.Options{Logger: cfg.Logger})
		if err != nil {
			return nil, named.Errorf("wechat", "Config.StoreURL (ZHONGKONG_STORE): %w", err)
		}
		s.store = file
	}
	s.scheduler = custody.NewScheduler(custody.SchedulerConfig{})
	if key != nil {
		p.open[key] = s
	}
	return s, nil
}

// leave undoes get. The last one to leave closes what the pool has opened.
func (p *pool) leave(s *pooled) error {
	p.mu.Lock()
	s.users--
	last := s.users == 0
	if last && s.key != nil {
		delete(p.open, s.key)
	}
	p.mu.Unlock()
	if !last {
		return nil
	}
	s.scheduler.Close()
	if !s.opened {
		return nil
	}
	return s.store.Close()
}

// parseStoreURL quotes nothing but a scheme that it knows: a URL may hold a
// password.
func parseStoreURL(text string) (path string, inMemory bool, err error) {
	scheme, rest, _ := strings.Cut(text, ":")
	var foreign string
	switch scheme {
	case "sqlite":
		if path, err = sqlite.ParseURL(text); err != nil {
			return "", false, named.Errorf("wechat", "Config.StoreURL (ZHONGKONG_STORE): %w", err)
		}
		return path, false, nil
	case "memory":
		if rest != "" {
			return "", false, named.Errorf("wechat", "Config.StoreURL (ZHONGKONG_STORE) has something after memory: which takes nothing")
		}
		return "", true, nil
	case "redis", "rediss":
		foreign = "redis"
	case "postgres", "postgresql":
		foreign = "postgres"
	case "mysql", "mariadb":
		foreign = "mysql"
	default:
		return "", false, named.Errorf("wechat", "Config.StoreURL (ZHONGKONG_STORE) must begin with sqlite: or memory: such as sqlite:zhongkong.db")
	}
	return "", false, named.Errorf("wechat", "Config.StoreURL (ZHONGKONG_STORE) begins with %s: and this package links SQLite alone: "+
		"import github.com/zhongkong-go/zhongkong/store/%[2]s, open the store with it and set Config.Store; with ConfigFromEnv, "+
		"keep the URL in another variable than ZHONGKONG_STORE, since it is this one that cannot be opened here", scheme, foreign)
}
