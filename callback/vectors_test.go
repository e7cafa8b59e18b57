package callback

import (
	_ "embed"
	"encoding/json"
	"testing"
)

//go:embed testdata/vectors.json
var vectorsJSON []byte

// encryptedVector is a message that Tencent's documents print with all that
// belongs to it.
type encryptedVector struct {
	ID           string `json:"id"`
	Token        string `json:"token"`
	AESKey       string `json:"encoding_aes_key"`
	ReceiveID    string `json:"receive_id"`
	Timestamp    string `json:"timestamp"`
	Nonce        string `json:"nonce"`
	Signature    string `json:"signature"`
	MsgSignature string `json:"msg_signature"`
	Encrypt      string `json:"encrypt"`
	Random       string `json:"random16"`
	Plaintext    string `json:"plaintext"`
	Pad          int    `json:"pad"`
}

func (v encryptedVector) query() Query {
	return Query{Timestamp: v.Timestamp, Nonce: v.Nonce, Signature: v.Signature, EncryptType: "aes", MsgSignature: v.MsgSignature}
}

func (v encryptedVector) config() Config {
	return Config{AppID: v.ReceiveID, Token: text(v.Token), AESKey: text(v.AESKey)}
}

type plainVector struct {
	ID        string `json:"id"`
	Token     string `json:"token"`
	Timestamp string `json:"timestamp"`
	Nonce     string `json:"nonce"`
	Signature string `json:"signature"`
	EchoStr   string `json:"echostr"`
}

func vectors(tb testing.TB) (encrypted []encryptedVector, plain []plainVector) {
	tb.Helper()
	var all struct {
		Encrypted []encryptedVector `json:"encrypted"`
		Plain     []plainVector     `json:"plain_signatures"`
	}
	if err := json.Unmarshal(vectorsJSON, &all); err != nil {
		tb.Fatal(err)
	}
	if len(all.Encrypted) != 5 || len(all.Plain) != 3 {
		tb.Fatalf("read %d encrypted and %d plain vectors, want 5 and 3", len(all.Encrypted), len(all.Plain))
	}
	return all.Encrypted, all.Plain
}

// vector returns the encrypted vector with the id.
func vector(tb testing.TB, id string) encryptedVector {
	tb.Helper()
	encrypted, _ := vectors(tb)
	for _, v := range encrypted {
		if v.ID == id {
			return v
		}
	}
	tb.Fatalf("no vector %s", id)
	return encryptedVector{}
}

// text is a Secret that takes no care.
type text string

func (t text) Reveal() string { return string(t) }

func newVerifier(tb testing.TB, config Config) *Verifier {
	tb.Helper()
	v, err := NewVerifier(config)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}
