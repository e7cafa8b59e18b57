package testserver

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"
)

// Start starts a server of engine with its usual settings.
func Start(ctx context.Context, engine Engine) (*Server, error) {
	switch engine {
	case Postgres:
		return StartPostgres(ctx)
	case Redis:
		return StartRedis(ctx)
	default:
		return StartMySQL(ctx)
	}
}

// askPostgres, askRedis and askMySQL send a server of ours a query.
func askPostgres(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `SELECT 1`)
	return errors.Join(err, conn.Close(ctx))
}

func askRedis(ctx context.Context, url string) error {
	options, err := goredis.ParseURL(url)
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", options.Addr) // the client would log that it is refused
	if err != nil {
		return err
	}
	_ = conn.Close()
	options.MaxRetries = -1
	client := goredis.NewClient(options)
	defer func() { _ = client.Close() }()
	return client.Ping(ctx).Err()
}

func askMySQL(ctx context.Context, addr string) error {
	db, err := asRoot(addr)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	var one int
	return db.QueryRowContext(ctx, `SELECT 1`).Scan(&one)
}

// asRoot opens a MySQL of ours as root, who has no password.
func asRoot(addr string) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.Logger = "root", "tcp", addr, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// StartPostgres starts a PostgreSQL; settings are such as "max_connections=10".
func StartPostgres(ctx context.Context, settings ...string) (*Server, error) {
	program, err := find("postgres")
	if err != nil {
		return nil, err
	}
	version, err := versionOf(ctx, program)
	if err != nil {
		return nil, err
	}
	initdb := filepath.Join(filepath.Dir(program), "initdb")
	return start(ctx, Postgres, version, func(s *Server) ([]string, error) {
		data, secret := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "password")
		if _, err := os.Stat(data); err != nil {
			if err := errors.Join(os.WriteFile(secret, []byte(Password), 0o600), chown(secret)); err != nil {
				return nil, err
			}
			if err := s.run(ctx, initdb, "-D", data, "-U", "zhongkong", "-A", "scram-sha-256", "--pwfile", secret,
				"-E", "UTF8", "--locale", "C", "--no-sync"); err != nil {
				return nil, err
			}
		}
		s.URL = address("postgres", s.Addr, "/postgres", "sslmode=disable")
		s.ask = func(ctx context.Context) error { return askPostgres(ctx, s.URL) }
		args := []string{program, "-D", data, "-p", s.port()}
		for _, setting := range append([]string{
			"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=200", "shared_buffers=16MB",
		}, settings...) {
			args = append(args, "-c", setting)
		}
		return args, nil
	})
}

// StartRedis starts a Redis; settings are such as "--appendonly", "yes".
func StartRedis(ctx context.Context, settings ...string) (*Server, error) {
	program, err := find("redis-server", "valkey-server")
	if err != nil {
		return nil, err
	}
	version, err := versionOf(ctx, program)
	if err != nil {
		return nil, err
	}
	return start(ctx, Redis, version, func(s *Server) ([]string, error) {
		s.URL = address("redis", s.Addr, "/0", "")
		s.ask = func(ctx context.Context) error { return askRedis(ctx, s.URL) }
		return append([]string{
			program, "--port", s.port(), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "",
			"--requirepass", Password, "--masterauth", Password,
		}, settings...), nil
	})
}

// StartSentinel starts a sentinel that watches master under the name mymaster,
// and soon calls it dead.
func StartSentinel(ctx context.Context, master *Server) (*Server, error) {
	program, err := find("redis-server", "valkey-server")
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		return nil, err
	}
	return start(ctx, Redis, master.Version, func(s *Server) ([]string, error) {
		s.URL = "redis://" + s.Addr
		s.ask = func(ctx context.Context) error { return askRedis(ctx, s.URL) }
		file := filepath.Join(s.dir, "sentinel.conf")
		text := "port " + s.port() + "\nbind 127.0.0.1\ndir " + s.dir +
			"\nsentinel monitor mymaster " + host + " " + port + " 1" +
			"\nsentinel auth-pass mymaster " + Password +
			"\nsentinel down-after-milliseconds mymaster 500" +
			"\nsentinel failover-timeout mymaster 3000\n"
		return []string{program, file, "--sentinel"}, errors.Join(os.WriteFile(file, []byte(text), 0o600), chown(file))
	})
}

// StartMySQL starts a MySQL or a MariaDB; settings are such as "--read-only".
func StartMySQL(ctx context.Context, settings ...string) (*Server, error) {
	program, err := find("mysqld", "mariadbd")
	if err != nil {
		return nil, err
	}
	version, err := versionOf(ctx, program)
	if err != nil {
		return nil, err
	}
	s, err := start(ctx, MySQL, version, func(s *Server) ([]string, error) {
		data := filepath.Join(s.dir, "data")
		if _, err := os.Stat(data); err != nil {
			if err := initMySQL(ctx, s, program, data); err != nil {
				return nil, err
			}
		}
		s.URL = address("mysql", s.Addr, "/zhongkong", "")
		s.ask = func(ctx context.Context) error { return askMySQL(ctx, s.Addr) }
		return append([]string{
			program, "--no-defaults", "--datadir=" + data, "--port=" + s.port(), "--bind-address=127.0.0.1",
			"--socket=" + filepath.Join(s.dir, "s"), "--pid-file=" + filepath.Join(s.dir, "pid"),
			"--max-connections=200", "--innodb-buffer-pool-size=32M",
			"--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--sync-binlog=0", // nobody needs the data after a crash
		}, settings...), nil
	})
	if err != nil {
		return nil, err
	}
	if err := fillMySQL(ctx, s); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func initMySQL(ctx context.Context, s *Server, program, data string) error {
	if strings.Contains(s.Version, "MariaDB") {
		install, err := find("mariadb-install-db", "mysql_install_db")
		if err != nil {
			return err
		}
		return s.run(ctx, install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	}
	return s.run(ctx, program, "--no-defaults", "--initialize-insecure", "--datadir="+data)
}

// fillMySQL creates the database and the user.
func fillMySQL(ctx context.Context, s *Server) error {
	db, err := asRoot(s.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for _, statement := range []string{
		`CREATE DATABASE zhongkong`,
		`CREATE USER zhongkong@'%' IDENTIFIED BY '` + Password + `'`,
		`GRANT ALL ON *.* TO zhongkong@'%' WITH GRANT OPTION`,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// address is the URL of a server of ours.
func address(scheme, addr, path, query string) string {
	u := url.URL{Scheme: scheme, User: url.UserPassword("zhongkong", Password), Host: addr, Path: path, RawQuery: query}
	if scheme == "redis" {
		u.User = url.UserPassword("", Password)
	}
	return u.String()
}

// Ask returns what the server at an URL is: "PostgreSQL 17.2".
func Ask(ctx context.Context, engine Engine, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	switch engine {
	case Postgres:
		conn, err := pgx.Connect(ctx, address)
		if err != nil {
			return "", err
		}
		defer func() { _ = conn.Close(ctx) }()
		return "PostgreSQL " + conn.PgConn().ParameterStatus("server_version"), nil
	case Redis:
		options, err := goredis.ParseURL(address)
		if err != nil {
			return "", err
		}
		client := goredis.NewClient(options)
		defer func() { _ = client.Close() }()
		info, err := client.InfoMap(ctx, "server").Result()
		return "Redis " + info["Server"]["redis_version"], err
	default:
		u, err := url.Parse(address)
		if err != nil {
			return "", err
		}
		config := mysql.NewConfig()
		config.Net, config.Addr, config.DBName, config.User = "tcp", u.Host, strings.Trim(u.Path, "/"), u.User.Username()
		config.Passwd, _ = u.User.Password()
		config.Logger = &mysql.NopLogger{}
		connector, err := mysql.NewConnector(config)
		if err != nil {
			return "", err
		}
		db := sql.OpenDB(connector)
		defer func() { _ = db.Close() }()
		var version string
		err = db.QueryRowContext(ctx, `SELECT version()`).Scan(&version)
		if strings.Contains(version, "MariaDB") {
			return "MariaDB " + version, err
		}
		return "MySQL " + version, err
	}
}
