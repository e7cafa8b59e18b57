package testserver

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// PgBouncer is a pooler in front of a PostgreSQL. Its variable names the program.
const PgBouncer Engine = "PgBouncer"

// FindPgBouncer returns the path of a pgbouncer, or ErrNotInstalled.
func FindPgBouncer() (string, error) {
	if path := os.Getenv(PgBouncer.Variable()); path != "" {
		return path, nil
	}
	return find("pgbouncer")
}

// PgBouncerVersion returns what a pgbouncer says it is: "PgBouncer 1.18.0".
func PgBouncerVersion(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return versionOf(ctx, path)
}

// StartPgBouncer starts a PgBouncer in front of the server that address names. mode is
// session or transaction; settings are such as "default_pool_size = 3".
func StartPgBouncer(ctx context.Context, address, mode string, settings ...string) (*Server, error) {
	program, err := FindPgBouncer()
	if err != nil {
		return nil, err
	}
	version, err := versionOf(ctx, program)
	if err != nil {
		return nil, err
	}
	behind, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	return start(ctx, PgBouncer, version, func(s *Server) ([]string, error) {
		password, _ := behind.User.Password()
		config := fmt.Sprintf("[databases]\n* = host=%s port=%s user=%s password=%s\n", behind.Hostname(), behind.Port(), behind.User.Username(), password) +
			fmt.Sprintf("[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %s\nunix_socket_dir =\nauth_type = any\npool_mode = %s\n", s.port(), mode) +
			strings.Join(settings, "\n") + "\n"
		path := filepath.Join(s.dir, "pgbouncer.ini")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			return nil, err
		}
		if err := chown(path); err != nil {
			return nil, err
		}
		front := *behind
		front.Host = s.Addr
		s.URL = front.String()
		s.ask = func(ctx context.Context) error { return askPostgres(ctx, s.URL) }
		return []string{program, path}, nil
	})
}
