package sqlite

// A program has one of two drivers: go-sqlite3, which is SQLite in C, where it is built with
// cgo, and modernc.org/sqlite, the same translated into Go, where it is not. Both take the
// same parameters in a DSN, and processes of both kinds share a file. driver_cgo.go and
// driver_modernc.go have what differs:
//
//	driver     the name that database/sql knows it by
//	resultOf   SQLite's extended result code of an error; false for another's error
//	errDriver  on a platform that has neither driver: what Open returns

// The result codes that this package tells apart (https://sqlite.org/rescode.html).
const (
	resultError    = 1
	resultPerm     = 3
	resultBusy     = 5
	resultLocked   = 6
	resultReadOnly = 8
	resultCorrupt  = 11
	resultFull     = 13
	resultCantOpen = 14
	resultProtocol = 15
	resultSchema   = 17
	resultAuth     = 23
	resultNotADB   = 26

	resultMoved = resultReadOnly | 4<<8 // SQLITE_READONLY_DBMOVED
)

// codeOf translates what the driver returns.
func codeOf(err error) code {
	result, ok := resultOf(err)
	if !ok {
		return foreign
	}
	switch result & 0xff { // the primary code
	case resultBusy, resultLocked, resultProtocol:
		return busy
	case resultCorrupt:
		return corrupt
	case resultNotADB:
		return notADB
	case resultReadOnly:
		if result == resultMoved {
			return moved
		}
		return noPermission
	case resultPerm, resultAuth:
		return noPermission
	case resultCantOpen:
		return cantOpen
	case resultFull:
		return full
	case resultError, resultSchema:
		return schema
	default:
		return other
	}
}
