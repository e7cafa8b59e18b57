package callback

import (
	"bytes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

func TestAESVectors(t *testing.T) {
	encrypted, _ := vectors(t)
	for _, v := range encrypted {
		key := mustKey(t, v.AESKey)
		message, appID, err := key.open(new(room), []byte(v.Encrypt))
		if err != nil || string(message) != v.Plaintext || string(appID) != v.ReceiveID {
			t.Errorf("%s: opened %q for %q, %v; want %q for %q", v.ID, message, appID, err, v.Plaintext, v.ReceiveID)
		}
		if got := key.seal(new(room), [randomLen]byte([]byte(v.Random)), []byte(v.Plaintext), v.ReceiveID); string(got) != v.Encrypt {
			t.Errorf("%s: sealed %s, want %s", v.ID, got, v.Encrypt)
		}
	}
}

// TestAESPadding has messages of every padding from 1 to 32, several times over.
func TestAESPadding(t *testing.T) {
	const appID = "wxba5fad812f8e6fb9"
	key := mustKey(t, "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG")
	pads := make(map[int]int)
	for n := range 5 * padBlock {
		message := bytes.Repeat([]byte{'m'}, n)
		encrypt := string(key.seal(new(room), [randomLen]byte{}, message, appID))
		got, gotAppID, err := key.open(new(room), []byte(encrypt))
		if err != nil || !bytes.Equal(got, message) || string(gotAppID) != appID {
			t.Errorf("%d bytes: opened %q for %q, %v", n, got, gotAppID, err)
		}
		size := base64.StdEncoding.DecodedLen(len(encrypt)) - strings.Count(encrypt, "=")
		if size%padBlock != 0 {
			t.Errorf("%d bytes: sealed into %d, not a multiple of %d", n, size, padBlock)
		}
		pads[size-prefixLen-n-len(appID)]++
	}
	for pad := 1; pad <= padBlock; pad++ {
		if pads[pad] != 5 {
			t.Errorf("%d messages with %d bytes of padding, want 5", pads[pad], pad)
		}
	}
}

func TestAESRefuses(t *testing.T) {
	key := mustKey(t, "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG")
	// raw encrypts a padded text of our own making.
	raw := func(padded []byte) string {
		out := make([]byte, len(padded))
		cipher.NewCBCEncrypter(key.block, key.iv[:]).CryptBlocks(out, padded)
		return base64.StdEncoding.EncodeToString(out)
	}
	// padded has a length field and the last byte as given, filled with filler.
	padded := func(size int, length uint32, filler, last byte) []byte {
		b := bytes.Repeat([]byte{filler}, size)
		if size >= prefixLen {
			binary.BigEndian.PutUint32(b[randomLen:], length)
		}
		b[size-1] = last
		return b
	}
	for name, test := range map[string]struct {
		encrypt string
		want    error
	}{
		"nothing":               {"", errCiphertext},
		"not base64":            {"%%%%", errCiphertext},
		"url base64":            {"-_-_", errCiphertext},
		"no whole block":        {base64.StdEncoding.EncodeToString(make([]byte, 31)), errCiphertext},
		"one block":             {raw(padded(16, 0, 1, 1)), errKey},
		"padding 0":             {raw(padded(32, 0, 0, 0)), errKey},
		"padding 33":            {raw(padded(64, 0, 33, 33)), errKey},
		"padding 255":           {raw(padded(512, 0, 255, 255)), errKey},
		"uneven padding":        {raw(padded(64, 0, 2, 3)), errKey},
		"padding over prefix":   {raw(padded(32, 0, 13, 13)), errKey},
		"length past the end":   {raw(padded(64, 43, 2, 2)), errKey},
		"length past all limit": {raw(padded(64, 1<<32-1, 2, 2)), errKey},
		"length at the end":     {raw(padded(64, 42, 2, 2)), nil},
		"16-byte blocks":        {raw(padded(48, 0, 2, 2)), nil},
		"nothing but padding":   {raw(padded(32, 0, 12, 12)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := key.open(new(room), []byte(test.encrypt)); !errors.Is(err, test.want) {
				t.Errorf("open = %v, want %v", err, test.want)
			}
		})
	}
}

// FuzzDecrypt gives open everything that could stand inside of AES, and what it
// opens is what it says to be.
func FuzzDecrypt(f *testing.F) {
	key := mustKey(f, "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG")
	for _, seed := range []string{"", strings.Repeat("\x01", 64), strings.Repeat("\x00", 19) + "\x04" + "text" + "wx1" + strings.Repeat("\x05", 5)} {
		f.Add([]byte(seed), []byte("%%%%"))
	}
	f.Fuzz(func(t *testing.T, padded, encrypt []byte) {
		_, _, _ = key.open(new(room), encrypt) // whatever it is
		padded = append([]byte(nil), padded[:len(padded)/16*16]...)
		plain := bytes.Clone(padded)
		cipher.NewCBCEncrypter(key.block, key.iv[:]).CryptBlocks(padded, padded)
		message, appID, err := key.open(new(room), []byte(base64.StdEncoding.EncodeToString(padded)))
		if err != nil {
			return
		}
		again := key.seal(new(room), [randomLen]byte(plain), message, string(appID))
		got, gotAppID, err := key.open(new(room), again)
		if err != nil || !bytes.Equal(got, message) || !bytes.Equal(gotAppID, appID) || prefixLen+len(message)+len(appID) >= len(plain) {
			t.Errorf("%x opens as %q for %q, and again as %q for %q, %v", plain, message, appID, got, gotAppID, err)
		}
	})
}

func mustKey(tb testing.TB, encoded string) *aesKey {
	tb.Helper()
	key, err := parseAESKey(encoded)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}
