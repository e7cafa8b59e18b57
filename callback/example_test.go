package callback_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
)

// A server without any framework: the address verification and the pushes.
func Example() {
	verifier, err := callback.NewVerifier(callback.Config{
		AppID:  "wxba5fad812f8e6fb9",
		Token:  custody.NewSecret("AAAAA"),
		AESKey: custody.NewSecret("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := callback.ParseQuery(r.URL.RawQuery)
		var echo string
		var message []byte
		if err == nil && r.Method == http.MethodGet {
			echo, err = verifier.VerifyURL(query)
		} else if err == nil {
			var body []byte
			body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, callback.MaxBody))
			if err == nil {
				message, _, err = verifier.Open(query, body)
			}
		}
		var refusal *callback.Error
		switch {
		case errors.As(err, &refusal):
			slog.Warn("wechat: callback refused", "reason", refusal.Reason, "error", err)
			http.Error(w, "wrong", http.StatusForbidden)
		case err != nil:
			http.Error(w, "wrong", http.StatusBadRequest)
		case r.Method == http.MethodGet:
			_, _ = io.WriteString(w, echo)
		default:
			fmt.Println(string(message))
			_, _ = io.WriteString(w, "success")
		}
	})

	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet,
		"/?signature=f464b24fc39322e44b38aa78f5edd27bd1441696&timestamp=1714036504&nonce=1514711492&echostr=4375120948345356249", http.NoBody))
	fmt.Println(answer.Code, answer.Body)

	answer = httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodPost,
		"/?signature=899cf89e464efb63f54ddac96b0a0a235f53aa78&timestamp=1714037059&nonce=486452656&openid=o9AgO5Kd5ggOC-bXrbNODIiE3bGY",
		strings.NewReader("<xml><MsgType>text</MsgType></xml>"))) // in plain text, to an account with an AES key
	fmt.Println(answer.Code, strings.TrimSpace(answer.Body.String()))
	// Output:
	// 200 4375120948345356249
	// 403 wrong
}

func ExampleSignature() {
	fmt.Println(callback.Signature("AAAAA", "1714036504", "1514711492"))
	// Output: f464b24fc39322e44b38aa78f5edd27bd1441696
}

// The answer to a message is sealed with the Token and the key that the message
// came with, so that changing them in the console loses nothing.
func ExampleVerifier_Seal() {
	verifier, err := callback.NewVerifier(callback.Config{
		AppID:  "wxba5fad812f8e6fb9",
		Token:  custody.NewSecret("AAAAA"),
		AESKey: custody.NewSecret("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var pair callback.Pair // from Open, with the message that is answered
	now := fmt.Sprint(time.Now().Unix())
	envelope, err := verifier.Seal(pair, now, "415670741", []byte(`{"demo_resp":"good luck"}`))
	fmt.Println(len(envelope.Encrypt), len(envelope.MsgSignature), err)
	// Output: 88 40 <nil>
}
