package callback

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
)

const (
	aesKeyLen = 43            // characters of an EncodingAESKey
	randomLen = 16            // random bytes before every message
	prefixLen = randomLen + 4 // those, and the length of the message
	padBlock  = 32            // WeChat pads to whole blocks of 32, not of AES's 16
)

// aesKey encrypts as WeChat does: AES-256-CBC over 16 random bytes, the
// message's length in four big-endian bytes, the message, the appid, and PKCS#7
// padding of 1 to 32 bytes. CBC keeps nothing from being changed: only
// msg_signature does, and it is to be checked before.
type aesKey struct {
	block cipher.Block
	iv    [aes.BlockSize]byte
}

func parseAESKey(encoded string) (*aesKey, error) {
	if len(encoded) != aesKeyLen {
		return nil, fmt.Errorf("it has %d characters; the EncodingAESKey of the console has %d", len(encoded), aesKeyLen)
	}
	for i := range len(encoded) {
		if c := encoded[i]; ('0' > c || c > '9') && ('A' > c || c > 'Z') && ('a' > c || c > 'z') {
			return nil, errors.New("it has other characters than letters and digits; the EncodingAESKey of the console has none")
		}
	}
	// Not Strict: the 43rd character carries two bits too many, and in keys that
	// people made up they are set.
	key, err := base64.StdEncoding.DecodeString(encoded + "=")
	if err != nil {
		return nil, errors.New("it is not base64") // the cause would print a part of it
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &aesKey{block: block, iv: [aes.BlockSize]byte(key)}, nil
}

// The ways in which open fails.
var (
	errCiphertext = errors.New("not base64 of whole AES blocks")
	errKey        = errors.New("padding or length are wrong")
)

// open returns the message inside of encrypt, and for whom it was encrypted; both
// are good until room is used again.
func (k *aesKey) open(room *room, encrypt []byte) (message, appID []byte, err error) {
	room.data = slices.Grow(room.data[:0], base64.StdEncoding.DecodedLen(len(encrypt)))
	data, err := base64.StdEncoding.AppendDecode(room.data, encrypt)
	if err != nil || len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, nil, errCiphertext
	}
	cipher.NewCBCDecrypter(k.block, k.iv[:]).CryptBlocks(data, data)

	pad := int(data[len(data)-1])
	if pad < 1 || pad > padBlock || pad > len(data)-prefixLen {
		return nil, nil, errKey
	}
	for _, b := range data[len(data)-pad:] {
		if int(b) != pad {
			return nil, nil, errKey
		}
	}
	data = data[:len(data)-pad]
	length := binary.BigEndian.Uint32(data[randomLen:])
	data = data[prefixLen:]
	if uint64(length) > uint64(len(data)) {
		return nil, nil, errKey
	}
	return data[:length:length], data[length:], nil
}

// seal is the way back; its result is good until room is used again.
func (k *aesKey) seal(room *room, random [randomLen]byte, message []byte, appID string) []byte {
	data := room.data[:0]
	data = append(data, random[:]...)
	data = binary.BigEndian.AppendUint32(data, uint32(len(message)))
	data = append(data, message...)
	data = append(data, appID...)
	pad := padBlock - len(data)%padBlock
	for range pad {
		data = append(data, byte(pad))
	}
	cipher.NewCBCEncrypter(k.block, k.iv[:]).CryptBlocks(data, data)
	room.data = data
	room.encoded = base64.StdEncoding.AppendEncode(room.encoded[:0], data)
	return room.encoded
}

// room is where a message is opened or sealed: memory that the next one can have.
type room struct {
	body    []byte // as it came, or as it leaves
	data    []byte // what AES works on
	encoded []byte // the same in base64
}

var rooms = sync.Pool{New: func() any { return new(room) }}

func getRoom() *room { return rooms.Get().(*room) }

// leave gives the room to the next message, unless it has become too large to
// stand around.
func (r *room) leave() {
	if cap(r.body)+cap(r.data)+cap(r.encoded) <= 64<<10 {
		rooms.Put(r)
	}
}
