package lang

import (
	"syscall"
	"unsafe"
)

// system returns the user's locale, such as zh-CN; "" where it cannot be learned.
func system() string {
	const longest = 85 // LOCALE_NAME_MAX_LENGTH
	var name [longest]uint16
	get := syscall.NewLazyDLL("kernel32.dll").NewProc("GetUserDefaultLocaleName")
	if get.Find() != nil {
		return ""
	}
	n, _, _ := get.Call(uintptr(unsafe.Pointer(&name[0])), longest) //nolint:gosec // as the function is documented
	if n == 0 {
		return ""
	}
	return syscall.UTF16ToString(name[:])
}
