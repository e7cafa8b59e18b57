package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/internal/named"
)

// Parts reads parts of a configuration file, for a command that needs few of its values.
type Parts struct {
	// Secret reports whether the AppSecret of an account is needed. Nil means of none.
	Secret func(appID string) bool

	// Absent makes it read everything but the secrets that are not needed, and is called for
	// each secret that is not here: its variable is not set, or its file cannot be read. What
	// needs that secret is left out; of an account (appID), which stays, it is the AppSecret.
	Absent func(appID string, err error)
}

// Read is [ReadSettings] without the keys of the admin listener, callbacks, and each
// AppSecret that is not needed, so that their variables and files need not be there.
func (p Parts) Read(path string) (*Settings, error) {
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	s, err := parse(content, filepath.Dir(path), os.LookupEnv, &p)
	if err != nil {
		return nil, named.Errorf("gateway", "%s: %w", path, err)
	}
	return s, nil
}

// leave takes out of a file what parts does not name.
func (p *Parts) leave(file *settingsFile) {
	if p == nil {
		return
	}
	if p.Absent == nil {
		file.Admin, file.Journal = adminFile{}, journalFile{}
	}
	for i := range file.Accounts {
		a := &file.Accounts[i]
		needed := p.Secret != nil && p.Secret(a.id())
		if !needed || p.Absent == nil {
			a.Callback, a.Signing = nil, nil
		}
		if !needed {
			a.Secret, a.without = secretSource{}, true
		}
	}
}

// leaveAbsent takes out of a file what is not here, and tells of it.
func (p *Parts) leaveAbsent(file *settingsFile, folder string, env func(string) (string, bool), at func(string, error) error) {
	if p == nil || p.Absent == nil {
		return
	}
	absent := func(appID string, err error) bool {
		_, unset := errors.AsType[*unsetError](err)
		found := unset || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
		if found {
			p.Absent(appID, err)
		}
		return found
	}
	admin := Admin{Listen: file.Admin.Listen}
	if absent("", file.Admin.read(&admin, folder, env, at)) {
		file.Admin.Key, file.Admin.MetricsKey, file.Admin.without = secretSource{}, secretSource{}, true
	}
	if _, err := file.Journal.read(folder, env, at); absent("", err) {
		file.Journal.Webhook = secretSource{}
	}
	for i := range file.Accounts {
		at := func(field string, err error) error { return at(fmt.Sprintf("$.accounts[%d]%s", i, field), err) }
		f := &file.Accounts[i]
		if !f.Secret.isZero() {
			if _, err := f.Secret.read(folder, env); err != nil && absent(f.id(), at(".secret", secretError(f.id(), err))) {
				f.Secret, f.without = secretSource{}, true
			}
		}
		if f.Callback != nil {
			_, err := f.Callback.read(folder, env)
			if field, ok := errors.AsType[*fanout.FieldError](err); ok && absent("", at(".callback"+field.Field, callbackError(f.id(), field))) {
				f.Callback = nil
			}
		}
		if f.Signing != nil {
			_, err := f.Signing.read(f.AppID, folder, env)
			if err != nil && absent("", at(".signing", fmt.Errorf("%s: %w", plainly(f.AppID), err))) {
				f.Signing = nil
			}
		}
	}
}
