package sqlite

import "errors"

// Reason says what an error of this package is about, for programs that tell
// people what to do.
type Reason string

// The reasons.
const (
	Locked       Reason = "locked"        // another program holds a lock
	NotDatabase  Reason = "not_database"  // the file is something else
	Damaged      Reason = "damaged"       // it was a database
	NoPermission Reason = "no_permission" // the file or its folder may not be read and written
	Full         Reason = "full"          // the disk
	Other        Reason = "other"         // none of these
)

// ReasonOf returns what err, of a function or method of this package, is about.
func ReasonOf(err error) Reason {
	switch codeOf(err) {
	case busy:
		return Locked
	case corrupt:
		return Damaged
	case notADB:
		var f *fault
		if errors.As(err, &f) && wasDatabase(f.path) {
			return Damaged
		}
		return NotDatabase
	case full:
		return Full
	case noPermission:
		return NoPermission
	default:
	}
	var f *fault
	if !errors.As(err, &f) || f.reason == "" {
		return Other
	}
	return f.reason
}
