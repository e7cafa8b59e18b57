package gateway_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestCertificateExpires: the log tells of a certificate of WeChat's that is about to end,
// when the gateway starts and each day.
func TestCertificateExpires(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for left, want := range map[time.Duration]int{20 * 24 * time.Hour: 3, 61*24*time.Hour + time.Hour: 1, 90 * 24 * time.Hour: 0} {
		synctest.Test(t, func(t *testing.T) {
			template := &x509.Certificate{
				SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "made up"},
				NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(left),
			}
			cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			wx := simtest.InMemory(t, simulator.Options{Accounts: twoAccounts()})
			w := joinInBubble(t, wx, memory.New(), func(c *gateway.Config) {
				c.Accounts[0].Signing = &platform.Signing{
					SymmetricSerial: "1", SymmetricKey: custody.NewSecret(base64.StdEncoding.EncodeToString(make([]byte, 32))),
					PrivateKey:   custody.NewSecret(text("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))),
					Certificates: map[string]string{"2": text("CERTIFICATE", cert)}, Paths: []string{"/wxa/getuserriskrank"},
				}
			})
			time.Sleep(49 * time.Hour)
			synctest.Wait()
			if n := strings.Count(w.log.String(), "gateway_certificate_expires"); n != want {
				t.Errorf("%s before its end, in two days: %d lines, want %d", left, n, want)
			}
		})
	}
}
