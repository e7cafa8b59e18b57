package door

import (
	"context"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"sync"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/storeurl"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

// pool has the stores of this process's clients. Clients that name the same one share it,
// and a Scheduler: a program with 300 accounts has one database open, and what its
// Keepers look up travels together.
type pool struct {
	mu   sync.Mutex // also held while a store is opened
	open map[any]*Pooled
}

var stores = pool{open: map[any]*Pooled{}}

// Pooled is a store that clients share.
type Pooled struct {
	Store     custody.Store
	opened    bool // by the pool, which closes it
	Scheduler *custody.Scheduler
	key       any // in the pool; nil for one that is not shared
	users     int

	common sync.Map // what clients of the store share besides
}

// Common returns what the clients of a store share under a name, made by the first of them.
func (s *Pooled) Common(name string, made any) any {
	value, _ := s.common.LoadOrStore(name, made)
	return value
}

// Place says which store a client keeps its credentials in.
type Place struct {
	Package string        // whose errors these are
	Store   custody.Store // instead of URL
	URL     string
	Logger  *slog.Logger
}

// Enter returns the store of a place, which other clients may have too.
func Enter(place Place) (*Pooled, error) { return stores.get(place) }

func (p *pool) get(cfg Place) (*Pooled, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var key any
	path, inMemory, err := ParseStoreURL(cfg.Package, cfg.URL)
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
	s := &Pooled{Store: cfg.Store, opened: cfg.Store == nil, key: key, users: 1}
	switch {
	case cfg.Store != nil:
	case inMemory:
		s.Store = memory.New()
	default:
		file, err := sqlite.Open(context.Background(), path, sqlite.Options{Logger: cfg.Logger})
		if err != nil {
			return nil, named.Errorf(cfg.Package, "Config.StoreURL (ZHONGKONG_STORE): %w", err)
		}
		s.Store = file
	}
	s.Scheduler = custody.NewScheduler(custody.SchedulerConfig{})
	if key != nil {
		p.open[key] = s
	}
	return s, nil
}

// Leave undoes Enter. The last one to leave closes what the pool has opened.
func (s *Pooled) Leave() error {
	p := &stores
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
	s.Scheduler.Close()
	if !s.opened {
		return nil
	}
	return s.Store.Close()
}

// ParseStoreURL quotes nothing but a scheme that it knows: a URL may hold a
// password.
func ParseStoreURL(pkg, text string) (path string, inMemory bool, err error) {
	engine := storeurl.Of(text)
	switch engine {
	case nil:
		return "", false, named.Errorf(pkg, "Config.StoreURL (ZHONGKONG_STORE) must begin with sqlite: or memory: such as sqlite:zhongkong.db")
	case storeurl.Memory, storeurl.SQLite:
		if _, err = storeurl.Check(text); err != nil {
			return "", false, named.Errorf(pkg, "Config.StoreURL (ZHONGKONG_STORE): %w", err)
		}
		path, _ = storeurl.Path(text)
		return path, engine == storeurl.Memory, nil
	}
	scheme, _, _ := strings.Cut(text, ":")
	return "", false, named.Errorf(pkg, "Config.StoreURL (ZHONGKONG_STORE) begins with %s: and this package links SQLite alone: "+
		"import github.com/zhongkong-go/zhongkong/store/%[2]s, open the store with it and set Config.Store; with ConfigFromEnv, "+
		"keep the URL in another variable than ZHONGKONG_STORE, since it is this one that cannot be opened here", scheme, engine.Package)
}
