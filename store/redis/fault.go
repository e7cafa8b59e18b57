package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// codeOf is the first word of an error that the server answered, which is its
// code; "" when it answered none.
func codeOf(err error) string {
	var e goredis.Error
	if !errors.As(err, &e) {
		return ""
	}
	code, _, _ := strings.Cut(e.Error(), " ")
	return code
}

// explain says what an error of the driver means for the person who has to act.
func (e *engine) explain(err error) error {
	var done *remote.FaultError
	if err == nil || errors.As(err, &done) {
		return err
	}
	if cluster, ok := e.db.(*goredis.ClusterClient); ok && codeOf(err) == "" {
		cluster.ReloadState(context.Background()) // another may be the master by now; the client itself looks once a minute
	}
	fault := &remote.FaultError{Server: e.server, Err: err}
	user := e.client.Username
	if user == "" {
		user = "default"
	}
	var certificate *tls.CertificateVerificationError
	switch code := codeOf(err); {
	case code == "WRONGPASS", code == "NOAUTH", e.refusesAuth(err):
		fault.What = "refuses user " + user + " or the password"
		fault.Remedy = "correct them in the URL: redis://user:password@host, or redis://:password@host for the default user, or none where none is asked for"
	case code == "NOPERM":
		fault.What = "does not let user " + user + " use the keys"
		fault.Remedy = "give that user (ACL SETUSER) ~" + e.prefix + "* &" + e.prefix + "* +@all -@admin -@dangerous"
	case code == "READONLY":
		fault.What, fault.Passes = "only reads", true
		fault.Remedy = "give the URL of the primary, or the sentinels' with master_name=; a replica is used once it is promoted"
	case code == "MISCONF":
		fault.What, fault.Passes = "cannot write to its disk", true
		fault.Remedy = "see that the disk has room and its folder can be written; live tokens are served meanwhile"
	case code == "OOM":
		fault.What, fault.Passes = "has no memory left", true
		fault.Remedy = "raise its maxmemory; live tokens are served meanwhile"
	case code == "MOVED", code == "ASK", code == "CROSSSLOT":
		return e.isCluster(err)
	case errors.As(err, &certificate):
		fault.What = "shows a certificate that is not trusted"
		fault.Remedy = "name its authority in the URL with ca=, or correct the host's name"
	case strings.Contains(err.Error(), "DB index is out of range"):
		fault.What = "has no database of that number"
		fault.Remedy = "correct it in the URL, and use a prefix to share one"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		fault.What, fault.Passes = "does not answer in time", true
		fault.Remedy = "see that it runs, can be reached from here, and speaks TLS exactly where the URL says rediss://; it is tried again by itself"
	case strings.Contains(err.Error(), "cluster support disabled"):
		fault.What = "is no cluster"
		fault.Remedy = "leave cluster=true out of the URL"
	case code == "", code == "LOADING", code == "CLUSTERDOWN", code == "MASTERDOWN", code == "TRYAGAIN":
		fault.What, fault.Passes, fault.Unknown = "cannot be reached", true, code == "" && !remote.Transient(err)
		fault.Remedy = "see that it runs, and check host, port and TLS in the URL; it is tried again by itself"
	default:
		fault.What, fault.Passes, fault.Unknown = "cannot be used", true, code != "BUSY" && code != "NOREPLICAS" && code != "UNBLOCKED"
		fault.Remedy = "look at its log and at the cause; it is tried again by itself"
	}
	return fault
}

func (e *engine) isCluster(err error) error {
	return &remote.FaultError{Server: e.server, What: "is one of a cluster", Remedy: "add cluster=true to the URL", Err: err}
}

// refusesAuth knows the answers to AUTH that have no code of their own.
func (e *engine) refusesAuth(err error) bool {
	text := err.Error()
	return strings.Contains(text, "ERR invalid password") || strings.Contains(text, "without any password configured")
}
