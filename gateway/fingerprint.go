package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/goccy/go-yaml"

	"github.com/zhongkong-go/zhongkong/custody"
)

// secretFields are what secrets are called in a configuration file.
var secretFields = map[string]bool{
	"secret": true, "key": true, "metrics_key": true, "webhook": true,
	"token": true, "previous_token": true, "aes_key": true, "previous_aes_key": true, "symmetric_key": true,
}

// urlFields may have a password in them.
var urlFields = map[string]bool{"store": true, "api_base": true, "wecom_base": true}

// digest is what a configuration file says, in short: without the secrets in it, comments,
// and the order of names.
func digest(content []byte) (sum [sha256.Size]byte) {
	var file any
	if yaml.Unmarshal(content, &file) != nil {
		return sum // which a reader reports better
	}
	text, err := json.Marshal(withoutSecrets(file))
	if err != nil {
		return sum
	}
	return sha256.Sum256(text)
}

// withoutSecrets leaves out what is written where a secret belongs, but keeps the variable or
// the file that a secret is said to be in.
func withoutSecrets(node any) any {
	switch node := node.(type) {
	case []any:
		for i := range node {
			node[i] = withoutSecrets(node[i])
		}
	case map[string]any:
		for name, value := range node {
			if name == "tls" || name == "when" { // whose key is a path, and a rule
				continue
			}
			switch value := value.(type) {
			case map[string]any, []any, nil:
				node[name] = withoutSecrets(value)
			default:
				if text, written := value.(string); written && urlFields[name] {
					node[name] = withoutPassword(text)
				} else if secretFields[name] { // also one of digits alone
					node[name] = value != ""
				}
			}
		}
	}
	return node
}

// Fingerprint names what the configuration file says, so that two readings of it can be
// compared: it is another one when anything but a secret has changed. Without key, which is
// ZHONGKONG_SEAL_KEY, nobody can tell from it what the file says. It is "" for settings that
// were read from no file.
func (s Settings) Fingerprint(key custody.Secret) string {
	if s.digest == [sha256.Size]byte{} || key.Reveal() == "" {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte("zhongkong configuration\x00"))
	mac.Write(s.digest[:])
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
