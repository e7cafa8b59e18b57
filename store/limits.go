package store

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zhongkong-go/zhongkong/custody"
)

// What every store takes, in bytes; package custody has the limits of a credential. Names
// are UTF-8 without control characters, texts are UTF-8 without NUL, everything else is
// bytes. A store checks all of it before it asks its engine, so that no engine takes what
// another one refuses or cuts.
const (
	MaxDocumentKind  = 64      // bytes of Document.Kind
	MaxDocumentName  = 255     // bytes of Document.Name
	MaxDocumentBytes = 1 << 20 // Document.Body

	MaxUseAct    = 64   // bytes of Use.Act
	MaxUseName   = 512  // Use.Actor, Use.Subject
	MaxUseDetail = 4096 // bytes of Use.Detail

	MaxLineBytes     = 255     // Delivery.Line
	MaxDeliveryName  = 64      // Delivery.Lane, Delivery.ID and owners
	MaxDeliveryBytes = 1 << 20 // Delivery.Body
	MaxPush          = 100     // deliveries of one Push

	maxSealKey = 255  // custody.Record.SealKey
	maxDetail  = 1024 // custody.Entry.Detail
)

// field is a part of what a store is given.
type field struct {
	name, value string
	most        int
	empty       bool // it may be
}

// checkText wants UTF-8 without NUL.
func (f field) checkText() error {
	switch n := len(f.value); {
	case n > f.most:
		return fmt.Errorf("zhongkong: %s has %d bytes: at most %d", f.name, n, f.most)
	case n == 0 && !f.empty:
		return fmt.Errorf("zhongkong: %s is empty", f.name)
	case !utf8.ValidString(f.value):
		return fmt.Errorf("zhongkong: %s is not valid UTF-8", f.name)
	case strings.IndexByte(f.value, 0) >= 0:
		return fmt.Errorf("zhongkong: %s holds a NUL character", f.name)
	}
	return nil
}

// checkName wants a text without control characters.
func (f field) checkName() error {
	if err := f.checkText(); err != nil {
		return err
	}
	if strings.ContainsFunc(f.value, unicode.IsControl) {
		return fmt.Errorf("zhongkong: %s holds a control character", f.name)
	}
	return nil
}

// checkASCII wants printable ASCII, checkWord that without spaces.
func (f field) checkASCII() error { return f.checkFrom(' ') }
func (f field) checkWord() error  { return f.checkFrom('!') }

func (f field) checkFrom(least byte) error {
	if err := f.checkText(); err != nil {
		return err
	}
	for i := range len(f.value) {
		if c := f.value[i]; c < least || c >= 0x7f {
			return fmt.Errorf("zhongkong: %s holds other characters than printable ASCII", f.name)
		}
	}
	return nil
}

// checkBytes wants no more than most.
func checkBytes(name string, n, most int) error {
	if n > most {
		return fmt.Errorf("zhongkong: %s has %d bytes: at most %d", name, n, most)
	}
	return nil
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// CheckRecord returns an error for a record that no store saves.
func CheckRecord(r custody.Record) error {
	return first(
		field{"the value of a credential", r.Value, custody.MaxValueBytes, true}.checkText(),
		field{"the name of the key that sealed a credential", r.SealKey, maxSealKey, true}.checkName(),
		checkNotes(r.Notes),
	)
}

func checkNotes(notes []byte) error {
	return checkBytes("the notes of a credential", len(notes), custody.MaxNotesBytes)
}

// Check returns an error for a document that no Ledger takes.
func (d Document) Check() error {
	return first(
		field{"Document.Kind", d.Kind, MaxDocumentKind, false}.checkName(),
		field{"Document.Name", d.Name, MaxDocumentName, false}.checkName(),
		checkBytes("the document "+d.Kind+" "+d.Name, len(d.Body), MaxDocumentBytes),
	)
}

// Check returns an error for a line that no Ledger takes.
func (u Use) Check() error {
	return first(
		field{"Use.Act", u.Act, MaxUseAct, false}.checkName(),
		field{"Use.Actor", u.Actor, MaxUseName, true}.checkText(),
		field{"Use.Subject", u.Subject, MaxUseName, true}.checkText(),
		field{"Use.Detail", u.Detail, MaxUseDetail, true}.checkText(),
	)
}

// Check returns an error for a delivery that no Queue takes.
func (d Delivery) Check() error {
	if err := first(
		field{"Delivery.Line", d.Line, MaxLineBytes, false}.checkWord(),
		field{"Delivery.Lane", d.Lane, MaxDeliveryName, false}.checkWord(),
		field{"Delivery.ID", d.ID, MaxDeliveryName, false}.checkWord(),
		field{"Delivery.Owner", d.Owner, MaxDeliveryName, true}.checkWord(),
		checkBytes("Delivery.Body", len(d.Body), MaxDeliveryBytes),
	); err != nil {
		return err
	}
	switch {
	case len(d.Body) == 0:
		return errors.New("zhongkong: Delivery.Body is empty")
	case d.Wait < 0:
		return fmt.Errorf("zhongkong: Delivery.Wait is %s: it must not be negative", d.Wait)
	}
	return nil
}

// CheckPush returns an error for deliveries that no Queue takes in one Push.
func CheckPush(deliveries []Delivery) error {
	if n := len(deliveries); n > MaxPush {
		return fmt.Errorf("zhongkong: %d deliveries in one Push: at most %d", n, MaxPush)
	}
	for _, d := range deliveries {
		if err := d.Check(); err != nil {
			return err
		}
	}
	return nil
}

// CheckDelivery returns an error for names by which no Queue has anything. Those that a
// call does not have are "".
func CheckDelivery(line, id, owner string) error {
	return first(
		field{"Delivery.Line", line, MaxLineBytes, false}.checkWord(),
		field{"Delivery.ID", id, MaxDeliveryName, true}.checkWord(),
		field{"Delivery.Owner", owner, MaxDeliveryName, true}.checkWord(),
	)
}

// CheckClaim returns an error for names and contents that no store takes. Names that a
// call does not have are "".
func CheckClaim(account, key, owner string, content []byte) error {
	return first(
		field{"the account of a message", account, MaxClaimName, true}.checkName(),
		field{"the key of a message", key, MaxClaimName, true}.checkASCII(),
		field{"the owner of a message", owner, MaxClaimName, true}.checkName(),
		checkBytes("an answer or a message", len(content), MaxClaimAnswer),
	)
}

// JournalDetail returns a line's detail as every journal keeps it: a longer one is cut
// between two characters, and what is no text is replaced.
func JournalDetail(text string) string { return cut(text, maxDetail) }

// Fit returns a line whose texts are cut to what every Ledger takes, for callers that
// would rather lose the end of a long list than the line.
func (u Use) Fit() Use {
	u.Actor, u.Subject, u.Detail = cut(u.Actor, MaxUseName), cut(u.Subject, MaxUseName), cut(u.Detail, MaxUseDetail)
	return u
}

func cut(text string, most int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) <= most {
		return text
	}
	const more = "…"
	most -= len(more)
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + more
}
