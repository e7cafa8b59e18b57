package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"strings"

	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// explain says what an error of the driver means for the person who has to act. The
// codes are those of PostgreSQL's appendix A.
func (e *engine) explain(err error) error {
	var done *remote.FaultError
	if err == nil || errors.As(err, &done) {
		return err
	}
	fault := &remote.FaultError{Server: e.server, Err: err}
	var certificate *tls.CertificateVerificationError
	code := codeOf(err)
	switch {
	case code == "28P01", code == "28000": // invalid_password, invalid_authorization_specification
		fault.What = "refuses user " + e.config.User + " or the password"
		fault.Remedy = "correct them in the URL, and see pg_hba.conf for what the server asks for"
	case code == "3D000": // invalid_catalog_name
		fault.What = "does not exist"
		fault.Remedy = "create it (CREATE DATABASE), or correct its name in the URL"
	case code == "42501": // insufficient_privilege
		fault.What = "does not let user " + e.config.User + " make or use the tables"
		fault.Remedy = "GRANT CREATE, USAGE ON the schema and all rights on the tables " + e.prefix + "* to that user, or run `zhongkong migrate up` as one who may, and start with migrate=off"
	case code == "3F000": // invalid_schema_name
		return e.lacksSchema(err)
	case code == "25006": // read_only_sql_transaction
		return e.isReadOnly(err)
	case code == "42P01", code == "42703": // undefined_table, undefined_column
		fault.What, fault.Passes = "has lost its tables", true
		fault.Remedy = "run `zhongkong migrate up`, or let programs migrate at start"
		fault.Err = errors.Join(remote.ErrUnprepared, err)
	case code == "53100": // disk_full
		fault.What, fault.Passes = "has no room left on its disk", true
		fault.Remedy = "make some; live tokens are served meanwhile"
	case code == "53300": // too_many_connections
		fault.What, fault.Passes = "has no connection left", true
		fault.Remedy = "raise its max_connections, or let fewer programs share it"
	case errors.As(err, &certificate):
		fault.What = "shows a certificate that is not trusted"
		fault.Remedy = "name its authority in the URL with sslrootcert=, or correct the host's name"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		fault.What, fault.Passes = "does not answer in time", true
		fault.Remedy = "see that it runs and can be reached from here; it is tried again by itself"
	case code == "42704": // undefined_object: of a connection, a parameter
		fault.What = "does not know a parameter of the URL"
		fault.Remedy = "leave it out: besides prefix and migrate, the URL takes the parameters of libpq and the server's settings, none of a pool"
	case strings.Contains(err.Error(), "server refused TLS connection"):
		fault.What = "does not speak TLS"
		fault.Remedy = "switch TLS on (ssl = on), or say sslmode=disable in the URL where the network is your own"
	case code == "08P01" && e.poolerRefuses(fault): // protocol_violation: PgBouncer's code for everything
	case code == "", strings.HasPrefix(code, "08"), strings.HasPrefix(code, "57P"): // connection_exception, shutting down or starting
		fault.What, fault.Passes, fault.Unknown = "cannot be reached", true, code == "" && !remote.Transient(err)
		fault.Remedy = "see that it runs, and check host, port and sslmode in the URL; it is tried again by itself"
	default:
		fault.What, fault.Passes, fault.Unknown = "cannot be used", true, !busy(code)
		fault.Remedy = "look at its log and at the cause; it is tried again by itself"
	}
	return fault
}

// poolerRefuses explains what PgBouncer says of a URL or mode that cannot work. Its other
// errors, such as a server that is down, pass.
func (e *engine) poolerRefuses(fault *remote.FaultError) bool {
	text := fault.Err.Error()
	switch {
	case strings.Contains(text, "unsupported startup parameter"):
		fault.What = "is reached through a pooler that refuses a parameter of the URL"
		fault.Remedy = "leave it out, or name it in PgBouncer's ignore_startup_parameters, which then ignores it"
	case strings.Contains(text, "no such database"), strings.Contains(text, "no such user"):
		fault.What = "is not known to the pooler, or user " + e.config.User + " is not"
		fault.Remedy = "correct them in the URL, or add them to PgBouncer's [databases] and auth_file"
	case strings.Contains(text, "statement pooling mode"):
		fault.What = "is reached through a pooler that pools statements"
		fault.Remedy = "set PgBouncer's pool_mode to session or transaction"
	default:
		return false
	}
	return true
}

func (e *engine) lacksSchema(err error) error {
	return &remote.FaultError{
		Server: e.server, What: "has no schema to make tables in", Err: err,
		Remedy: "create the one that search_path= in the URL or the user's search_path names (CREATE SCHEMA), or name another",
	}
}

// busy reports whether the server's code says that it has too much to do: a lack of
// resources, a lock that is held, a statement that was broken off.
func busy(code string) bool {
	return strings.HasPrefix(code, "53") || strings.HasPrefix(code, "40") || strings.HasPrefix(code, "55") || code == "57014"
}

func (e *engine) isReadOnly(err error) error {
	return &remote.FaultError{
		Server: e.server, What: "only reads", Passes: true, Err: err,
		Remedy: "give the URL of the primary, or all hosts and target_session_attrs=read-write; a replica is used once it is promoted",
	}
}
