package gateway

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"

	"github.com/zhongkong-go/zhongkong/internal/shape"
)

type tlsFile struct {
	Cert     string `yaml:"cert"`
	Key      string `yaml:"key"`
	ClientCA string `yaml:"client_ca"`

	Domain    string `yaml:"domain"`
	Email     string `yaml:"email"`
	Authority string `yaml:"authority"`
	Folder    string `yaml:"folder"`
}

// TLS names files in PEM, which are read again when they change, or a domain whose
// certificate zhongkong serve gets itself.
type TLS struct {
	Cert, Key string // both or none
	ClientCA  string // with it, programs need a certificate of this authority

	// Domain is the public name under which WeChat comes, such as wx.example.com. Its
	// certificate comes from an authority that speaks ACME, which looks at port 443 there.
	// Listen and Check do not get it: it is for zhongkong serve.
	Domain    string
	Email     string // where the authority writes to; may be empty
	Authority string // the URL of its directory; "" means Let's Encrypt
	Folder    string // where account key and certificates are kept
}

// On reports whether there is any.
func (t TLS) On() bool { return t.Cert != "" || t.Domain != "" }

// complete checks which files are named together, and makes their paths absolute.
func (t *TLS) complete(folder string, at func(string, error) error) error {
	if (t.Cert == "") != (t.Key == "") {
		return at("$.tls", errors.New("tls needs cert and key, both"))
	}
	if t.ClientCA != "" && t.Cert == "" {
		return at("$.tls.client_ca", errors.New("tls.client_ca needs tls.cert and tls.key"))
	}
	if err := t.completeDomain(at); err != nil {
		return err
	}
	for i, path := range []*string{&t.Cert, &t.Key, &t.ClientCA} {
		name := [...]string{"cert", "key", "client_ca"}[i]
		if err := shape.Path("tls."+name, *path); err != nil {
			return at("$.tls."+name, err)
		}
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(folder, *path)
		}
	}
	return nil
}

// certificatesFolder is in the working directory, as the usual database is.
const certificatesFolder = "zhongkong-certificates"

// publicName is a name that an authority gives certificates for.
var publicName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]$`)

// completeDomain checks what is said about a certificate that is got over ACME.
func (t *TLS) completeDomain(at func(string, error) error) error {
	if t.Domain == "" {
		if t.Email != "" || t.Authority != "" || t.Folder != "" {
			return at("$.tls", errors.New("tls.email, tls.authority and tls.folder are about tls.domain, which is missing"))
		}
		return nil
	}
	if t.Cert != "" || t.ClientCA != "" {
		return at("$.tls.domain", errors.New("tls.domain and tls.cert exclude one another; programs that need a certificate of client_ca need tls.cert"))
	}
	if !publicName.MatchString(t.Domain) || len(t.Domain) > 253 {
		return at("$.tls.domain", fmt.Errorf("tls.domain is %s: it must be a public name in lower case, such as wx.example.com", shape.Show(t.Domain)))
	}
	if u, err := url.Parse(t.Authority); t.Authority != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil) {
		return at("$.tls.authority", errors.New("tls.authority must be the https address of a directory, such as https://acme-v02.api.letsencrypt.org/directory"))
	}
	if err := shape.Path("tls.folder", t.Folder); err != nil {
		return at("$.tls.folder", err)
	}
	if t.Folder == "" {
		t.Folder = certificatesFolder
	}
	return nil
}
