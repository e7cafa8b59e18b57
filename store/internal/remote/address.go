package remote

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"

	"github.com/zhongkong-go/zhongkong/internal/storeurl"
	"github.com/zhongkong-go/zhongkong/migrations"
)

// Prefix returns what begins the names of a deployment's tables: as the program says, or the
// URL.
func Prefix(u *storeurl.Address, option string) (string, error) {
	prefix := cmp.Or(option, u.Get("prefix"), migrations.Prefix)
	if err := migrations.CheckPrefix(prefix); err != nil {
		return "", u.Engine.Refuse("its prefix", err.Error())
	}
	return prefix, nil
}

// Trust is for TLS with host, whose certificate the authority in a file has signed, or one of
// the system's.
func Trust(host, authority string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if authority == "" {
		return config, nil
	}
	//nolint:gosec // the path is the caller's
	pem, err := os.ReadFile(authority)
	if err != nil {
		return nil, errors.New("give the path of a file with a certificate in PEM form that this program may read")
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("the file holds no certificate in PEM form")
	}
	return config, nil
}
