package callback

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
)

// volatile are the fields that are known to change from one delivery of a message to
// the next, which therefore do not tell messages apart. None is known.
var volatile []string

// Key tells this message from all others, and all its deliveries have it: 43
// characters that do not reveal what the message says.
//
// A message with a MsgId is identified by that and by its FromUserName, since WeChat
// was seen to use one MsgId for two followers. Everything else, events above all, is
// identified by everything it says: events of one second may differ in any field, and
// WeChat adds new ones every month. (An event's MsgID, with a capital D, is the
// number of a job and identifies nothing.) That a repeated delivery says the same as
// the first one is an assumption; no report contradicts it.
func (m *Message) Key() string {
	var room [512]byte
	parts := room[:0]
	id := m.Fields.Get("MsgId")
	if m.Type != TypeEvent && m.FromUserName != "" && id != "" && id != "0" {
		parts = append(parts, "message"...)
		for _, part := range []string{m.ToUserName, m.FromUserName, id} { // of several accounts on one store
			parts = appendPart(parts, part)
		}
	} else {
		parts = append(parts, "event"...)
		parts = appendAll(parts, m.Fields)
	}
	sum := sha256.Sum256(parts)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// appendPart writes the length too, so that no byte moves from one part to the
// next unseen.
func appendPart(parts []byte, part string) []byte {
	return append(binary.AppendUvarint(parts, uint64(len(part))), part...)
}

func appendAll(parts []byte, fields Fields) []byte {
	parts = binary.AppendUvarint(parts, uint64(len(fields)))
	for i := range fields {
		if slices.Contains(volatile, fields[i].Name) {
			continue
		}
		parts = appendPart(parts, fields[i].Name)
		parts = appendPart(parts, fields[i].Value)
		parts = appendAll(parts, fields[i].Fields)
	}
	return parts
}
