package mysql

import (
	"context"
	"crypto/tls"
	"errors"
	"os"

	driver "github.com/go-sql-driver/mysql"

	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// isReadOnly: the server, its storage or the transaction may only read.
func isReadOnly(code uint16) bool {
	return code == 1290 || code == 1836 || code == 1792
}

// explain says what an error of the driver means for the person who has to act. The
// numbers are those of MySQL's server error reference, which MariaDB shares.
func (e *engine) explain(err error) error {
	var done *remote.FaultError
	if err == nil || errors.As(err, &done) {
		return err
	}
	fault := &remote.FaultError{Server: e.server, Err: err}
	var certificate *tls.CertificateVerificationError
	code := codeOf(err)
	switch {
	case code == 1045, code == 1698, code == 1820, code == 1862: // access denied; the password has to be changed, has expired
		fault.What = "refuses user " + e.config.User + " or the password"
		fault.Remedy = "correct them in the URL, and see that the user may come from this host (CREATE USER name@host)"
	case code == 1130: // host not allowed
		fault.What = "takes no connection from this host"
		fault.Remedy = "make a user for it (CREATE USER name@host)"
	case code == 1049: // unknown database
		fault.What = "does not exist"
		fault.Remedy = "create it (CREATE DATABASE), or correct its name in the URL"
	case code == 1044, code == 1142, code == 1143, code == 1227: // access denied: database, table, column, privilege
		fault.What = "does not let user " + e.config.User + " make or use the tables"
		fault.Remedy = "GRANT CREATE, SELECT, INSERT, UPDATE, DELETE, DROP, INDEX on the tables " + e.prefix + "* to that user, or run `zhongkong migrate up` as one who may, and start with migrate=off"
	case isReadOnly(code):
		return e.isReadOnly(err)
	case code == 1146, code == 1054: // no such table, unknown column
		fault.What, fault.Passes = "has lost its tables", true
		fault.Remedy = "run `zhongkong migrate up`, or let programs migrate at start"
		fault.Err = errors.Join(remote.ErrUnprepared, err)
	case code == 1021, code == 1114: // disk full, the table is full
		fault.What, fault.Passes = "has no room left on its disk", true
		fault.Remedy = "make some; live tokens are served meanwhile"
	case code == 1040, code == 1203, code == 1226: // too many connections: server, user, per hour
		fault.What, fault.Passes = "has no connection left", true
		fault.Remedy = "raise its max_connections, or let fewer programs share it"
	case errors.Is(err, driver.ErrNoTLS):
		fault.What = "does not speak TLS"
		fault.Remedy = "leave tls= out of the URL, or switch TLS on"
	case errors.As(err, &certificate):
		fault.What = "shows a certificate that is not trusted"
		fault.Remedy = "name its authority in the URL with ca=, or correct the host's name"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		fault.What, fault.Passes = "does not answer in time", true
		fault.Remedy = "see that it runs and can be reached from here; it is tried again by itself"
	case code == 0, code == 1053, code == 1129: // shutting down, host blocked
		fault.What, fault.Passes = "cannot be reached", true
		fault.Unknown = code == 0 && !remote.Transient(err) && !errors.Is(err, driver.ErrInvalidConn)
		fault.Remedy = "see that it runs, and check host, port and tls in the URL; it is tried again by itself"
	default: // lock wait timeout, deadlock, query interrupted: busy
		fault.What, fault.Passes, fault.Unknown = "cannot be used", true, code != 1205 && code != 1213 && code != 1317
		fault.Remedy = "look at its log and at the cause; it is tried again by itself"
	}
	return fault
}

func (e *engine) isReadOnly(err error) error {
	return &remote.FaultError{
		Server: e.server, What: "only reads", Passes: true, Err: err,
		Remedy: "give the URL of the primary; a replica is used once it is promoted (read_only is off)",
	}
}
