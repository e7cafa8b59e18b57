package wechat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

// opener opens the store that a URL names.
type opener func(ctx context.Context, log *slog.Logger) (custody.Store, error)

// parseStoreURL quotes nothing but a scheme that it knows: a URL may hold a
// password.
func parseStoreURL(text string) (opener, error) {
	scheme, rest, _ := strings.Cut(text, ":")
	var foreign string
	switch scheme {
	case "sqlite":
		switch {
		case rest == "":
			return nil, errors.New("wechat: Config.StoreURL (ZHONGKONG_STORE) has no path after sqlite: write sqlite:zhongkong.db or sqlite:/abs/path.db")
		case strings.HasPrefix(rest, "//"):
			return nil, errors.New("wechat: Config.StoreURL (ZHONGKONG_STORE) has slashes after sqlite: that are no path to everybody: write sqlite:/abs/path.db, with one, or sqlite:zhongkong.db")
		}
		return func(ctx context.Context, log *slog.Logger) (custody.Store, error) {
			return sqlite.Open(ctx, rest, sqlite.Options{Logger: log})
		}, nil
	case "memory":
		if rest != "" {
			return nil, errors.New("wechat: Config.StoreURL (ZHONGKONG_STORE) has something after memory: which takes nothing")
		}
		return func(context.Context, *slog.Logger) (custody.Store, error) { return memory.New(), nil }, nil
	case "redis", "rediss":
		foreign = "redis"
	case "postgres", "postgresql":
		foreign = "postgres"
	case "mysql":
		foreign = "mysql"
	default:
		return nil, errors.New("wechat: Config.StoreURL (ZHONGKONG_STORE) must begin with sqlite: or memory: such as sqlite:zhongkong.db")
	}
	return nil, fmt.Errorf("wechat: Config.StoreURL (ZHONGKONG_STORE) begins with %s: and this package links SQLite alone: "+
		"import github.com/zhongkong-go/zhongkong/store/%[2]s, open the store with it and set Config.Store; with ConfigFromEnv, "+
		"keep the URL in another variable than ZHONGKONG_STORE, since it is this one that cannot be opened here", scheme, foreign)
}
