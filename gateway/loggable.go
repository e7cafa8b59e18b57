package gateway

import (
	"strings"

	"github.com/zhongkong-go/zhongkong/gateway/clients"
)

// secretRun is how many letters, digits, '_' and '-' in a row look like a secret.
const secretRun = 32

// looksSecret reports whether text holds what a key, a token or an AppSecret looks
// like, for those who put one where a path goes.
func looksSecret(text string) bool {
	run := 0
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
			if run++; run >= secretRun {
				return true
			}
		default:
			run = 0
		}
	}
	return strings.Contains(text, clients.TokenPrefix) || strings.Contains(text, clients.KeyPrefix)
}

// loggable returns what of a path or method may stand in a log.
func loggable(text string) string {
	switch {
	case text == "":
		return "[malformed]"
	case len(text) > clients.MaxPath || len(text) >= 16 && looksSecret(text):
		return "[hidden]"
	default:
		return text
	}
}
