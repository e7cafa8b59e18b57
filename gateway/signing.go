package gateway

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform"
)

// signingFile are the keys of an account's signed and encrypted API calls (服务端 API 签名加密)
// in a configuration file. Keys and certificates in PEM are files.
type signingFile struct {
	SymmetricSerial string            `yaml:"symmetric_serial"`
	SymmetricKey    secretSource      `yaml:"symmetric_key"`
	PrivateKey      string            `yaml:"private_key"`
	Certificates    map[string]string `yaml:"certificates"` // by WeChat's number
	Paths           []string          `yaml:"paths"`
}

// maxPEM is how long a file in PEM may be.
const maxPEM = 64 << 10

// read returns the keys, checked.
func (f *signingFile) read(appID, folder string, env func(string) (string, bool)) (*platform.Signing, error) {
	file := func(name, path string) (string, error) {
		switch {
		case path == "":
			return "", fmt.Errorf("signing.%s names no file", name)
		case strings.Contains(path, "-----BEGIN") || strings.ContainsAny(path, "\r\n"):
			return "", fmt.Errorf("signing.%s holds what looks like the key or certificate itself: it is the path of a file with it", name)
		}
		if err := shape.Path("signing."+name, path); err != nil {
			return "", err
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(folder, path)
		}
		content, err := readLimited(path, maxPEM)
		if err != nil {
			return "", fmt.Errorf("signing.%s names a file that cannot be read: %w", name, err)
		}
		return string(content), nil
	}
	s := &platform.Signing{AppID: appID, SymmetricSerial: f.SymmetricSerial, Certificates: map[string]string{}, Paths: f.Paths}
	var err error
	if s.SymmetricKey, err = f.SymmetricKey.read(folder, env); err != nil {
		return nil, fmt.Errorf("signing.symmetric_key: %w", err)
	}
	key, err := file("private_key", f.PrivateKey)
	if err != nil {
		return nil, err
	}
	s.PrivateKey = custody.NewSecret(key)
	for serial, path := range f.Certificates {
		if s.Certificates[serial], err = file("certificates", path); err != nil {
			return nil, err
		}
	}
	if _, err := platform.NewSigner(*s); err != nil {
		return nil, fmt.Errorf("signing: %w", named.Plain(err))
	}
	return s, nil
}

// sameSigning compares keys.
func sameSigning(a, b *platform.Signing) bool { return reflect.DeepEqual(a, b) }

// signer returns what signs the calls of the account; nil for nothing.
func (a Account) signer() (*platform.Signer, error) {
	if a.Signing == nil {
		return nil, nil //nolint:nilnil // nothing is signed
	}
	signing := *a.Signing
	if signing.AppID == "" {
		signing.AppID = a.AppID
	}
	return platform.NewSigner(signing)
}
