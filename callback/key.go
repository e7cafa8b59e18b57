package callback

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
)

// volatile are the fields that are known to change from one delivery of a message to
// the next, so that they do not distinguish messages. None is known.
var volatile []string

// Key identifies the message: all its deliveries have the same key and no other
// message has it. It is 43 characters that do not reveal what the message says.
//
// A message with a MsgId is identified by that and by its FromUserName, since WeChat
// was seen to use one MsgId for two followers. Everything else, events above all, is
// identified by its whole text, byte for byte: events of one second may differ in any
// field, and WeChat adds new ones every month. In compatible and safe mode that is the
// text that was encrypted. (An event's MsgID, with a capital D, is the
// number of a job and identifies nothing.) That a repeated delivery says the same as
// the first one is an assumption; no report contradicts it. A Message that
// [ParseMessage] did not return has no text and is identified by its Fields.
func (m *Message) Key() string {
	var room [512]byte
	parts := room[:0]
	id := m.Fields.Get("MsgId")
	switch {
	case m.Type != TypeEvent && m.FromUserName != "" && id != "" && id != "0":
		parts = append(parts, "message"...)
		for _, part := range []string{m.ToUserName, m.FromUserName, id} { // of several accounts on one store
			parts = appendPart(parts, part)
		}
	case m.text != "" && !hasVolatile(m.Fields): // not by its fields: [] and null leave none, and control characters are one
		parts = append(parts, "text"...)
		parts = append(parts, m.text...)
	default:
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

func hasVolatile(fields Fields) bool {
	return len(volatile) > 0 && slices.ContainsFunc(fields, func(f Field) bool {
		return slices.Contains(volatile, f.Name) || hasVolatile(f.Fields)
	})
}
